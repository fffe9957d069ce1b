"""A network beside the dense one: what it saves in FLOPs and in time, and whether the two differ much."""

from __future__ import annotations

from dataclasses import dataclass

GAP, FACTOR, LEAST = 0.1, 1.25, 0.03  # time and FLOPs differ much: by 10 points, or by a quarter and 3 points at least


@dataclass(frozen=True)
class TimedLayer:
    """One layer that is left and multiplies.

    Attributes:
        name: in the network.
        macs: multiply-accumulates per sample, > 0, those with zeros among them.
        channels: outputs and inputs, as the first two dimensions of its weight say.
        cut: those of `channels` that are fewer than in the dense network.
        weight_bits: 2 to 32.
        activation_bits: of what enters it, 2 to 32.
        runs: `int8`, `int4` (weights alone) or `fp32`.
        factor: whether it is one of two of low rank.
    """

    name: str
    macs: int
    channels: tuple[int, ...] = ()
    cut: tuple[int, ...] = ()
    weight_bits: int = 32
    activation_bits: int = 32
    runs: str = "fp32"
    factor: bool = False


@dataclass(frozen=True)
class Timed:
    """A network beside the dense one; shares are of the dense network's value, 1.0 is the same.

    Attributes:
        time: share of its time.
        low: the least that the share may be by both 95 % intervals.
        high: the most.
        ms: of one call.
        flops: share of its FLOPs, None where not known.
        effective: share of its effective FLOPs, None where not known.
        layers: those that are left.
        dropped: how many are gone.
        functional: share of this network's own FLOPs that belongs to no layer (products of attention).
        zeros: what the zeros within weights are: `unstructured`, `2:4`, or empty.
        twin: number of the trial that timed the same network in fp32, and time over that one's.
        dense_kernels: whether the runtime multiplies with zeros as with anything else.
    """

    time: float
    low: float
    high: float
    ms: float
    flops: float | None = None
    effective: float | None = None
    layers: tuple[TimedLayer, ...] = ()
    dropped: int = 0
    functional: float = 0.0
    zeros: str = ""
    twin: tuple[int, float] | None = None
    dense_kernels: bool = True


def percent(share: float) -> str:
    """`63 %`, with a space that does not break; below 1 % one more digit."""
    digits = 1 if 0 < abs(share) < 0.01 else 0
    return f"{100 * share:.{digits}f}\u00a0%"


def saved(share: float) -> str:
    """What a share of the dense value means: `63 % saved`, `7 % more`, `as dense`."""
    if abs(1 - share) < 0.005:
        return "as dense"
    return f"{percent(1 - share)} saved" if share < 1 else f"{percent(share - 1)} more"


def comparison(net: Timed) -> str:
    """Effective FLOPs saved and time saved, in a sentence."""
    work = "" if net.effective is None else f"effective FLOPs: {saved(net.effective)}; "
    time = "no measurable difference" if net.low <= 1 <= net.high else saved(net.time)
    text = f"{work}time: {time}."
    return text[0].upper() + text[1:]


def behind(net: Timed) -> bool:
    """Whether time fell much less than FLOPs."""
    return net.flops is not None and _much_less(net.flops, net.time) and net.flops < net.low


def ahead(net: Timed) -> bool:
    """Whether time fell much further than FLOPs."""
    return net.flops is not None and _much_less(net.time, net.flops) and net.high < net.flops


def _much_less(small: float, large: float) -> bool:
    return large - small > GAP or (large > FACTOR * small and large - small > LEAST)
