"""A network beside the dense one: what it saves in FLOPs and in time, and whether the two differ much."""

from __future__ import annotations

from dataclasses import dataclass

FULL_PRECISION_BITS = 32
# time and FLOPs differ much: by 10 points of the dense value, or by a quarter and at least 3 points
MUCH_POINTS, MUCH_RATIO, LEAST_POINTS = 0.1, 1.25, 0.03


@dataclass(frozen=True)
class ComputedLayer:
    """One layer that was not dropped and multiplies.

    Attributes:
        name: in the network.
        macs: multiply-accumulates per sample, > 0, those with zeros among them.
        channels: outputs and inputs, as the first two dimensions of its weight.
        reduced: those of `channels` that are fewer than in the dense network.
        weight_bits: 2 to 32.
        activation_bits: of its input, 2 to 32.
        precision: of its kernel: `int8`, `int4` (weights only) or `fp32`.
        low_rank: whether it is one of two low-rank factors of a layer.
    """

    name: str
    macs: int
    channels: tuple[int, ...] = ()
    reduced: tuple[int, ...] = ()
    weight_bits: int = FULL_PRECISION_BITS
    activation_bits: int = FULL_PRECISION_BITS
    precision: str = "fp32"
    low_rank: bool = False


@dataclass(frozen=True)
class NetworkComparison:
    """A network beside the dense one; ratios are to the dense network's value, 1.0 is the same.

    Attributes:
        time: ratio of their times.
        low: the least that the ratio may be by both 95 % intervals.
        high: the most.
        ms: of one call.
        flops: ratio of their FLOPs, None where not known.
        effective_flops: ratio of their effective FLOPs, None where not known.
        layers: those that multiply.
        dropped: how many layers were dropped.
        unweighted: share of this network's own FLOPs in products without weights (attention), in [0, 1].
        zeros: what kind of zeros its weights hold: `unstructured`, `2:4`, or empty.
        fp32_counterpart: number of the trial that timed the same network in fp32, and the ratio of this network's
            time to that one's; None where there is no such trial.
        dense_kernels: whether the runtime multiplies with zeros as with anything else.
    """

    time: float
    low: float
    high: float
    ms: float
    flops: float | None = None
    effective_flops: float | None = None
    layers: tuple[ComputedLayer, ...] = ()
    dropped: int = 0
    unweighted: float = 0.0
    zeros: str = ""
    fp32_counterpart: tuple[int, float] | None = None
    dense_kernels: bool = True


def time_saved_less(net: NetworkComparison) -> bool:
    """Whether time fell much less than FLOPs."""
    return net.flops is not None and _much_less(net.flops, net.time) and net.flops < net.low


def time_saved_more(net: NetworkComparison) -> bool:
    """Whether time fell much further than FLOPs."""
    return net.flops is not None and _much_less(net.time, net.flops) and net.high < net.flops


def _much_less(small: float, large: float) -> bool:
    return large - small > MUCH_POINTS or (large > MUCH_RATIO * small and large - small > LEAST_POINTS)
