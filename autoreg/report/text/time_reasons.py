"""How far time followed FLOPs, and why not further: one plain sentence a reason, from the record of a network.

Effective FLOPs, FLOPs and time are taken as shares of the dense network's. The step from effective FLOPs to FLOPs is
zeros; the step from FLOPs to time is bits that no kernel uses, channels that do not fill one, calls, and integers.
"""

from __future__ import annotations

from collections.abc import Sequence

from autoreg.report.data.timed import Timed, TimedLayer, ahead, behind, percent, saved

ZEROS = 0.05  # of dense FLOPs that are zeros are worth a sentence
SOME, MUCH, MOST = 0.1, 0.25, 0.5  # shares of a network's multiplications that its layers of one kind have
THIN, BLOCK = 16, 8  # channels: fewer do not fill a kernel; kernels take so many at a time
CALL_MS = 0.01  # a layer that takes less is mostly calls
MARGIN = 1.05  # a network is slower than another when it takes this many times as long
FUNCTIONAL = 0.2  # share of FLOPs without a layer's weight (attention products) that is worth a sentence


def reasons(net: Timed) -> list[str]:
    """Why time and costs differ, most certain first; empty where time followed all of them."""
    found = [*_zeros(net), *_few_bits(net), *_rounded(net)]
    if behind(net):
        found += _behind(net) or ["Nothing in the record says why time did not follow."]
    elif _thin_integers(net):
        found += [_thin_integers(net)]
    return [*found, *_twin(net), *_good_news(net)]


def _behind(net: Timed) -> list[str]:
    found = [*_blocks(net), *_thin(net), *_low_rank(net), *_calls(net), *_functional(net)]
    shrunk = any(layer.cut for layer in net.layers)
    if not found and shrunk:
        found.append(
            "What FLOPs do not count (activations, additions, norms, changes of layout) shrinks less than they do when "
            "channels go."
        )
    return found


def _share(net: Timed, layers: Sequence[TimedLayer]) -> float:
    """The part of the multiplications of all layers that some of them have."""
    whole = sum(layer.macs for layer in net.layers)
    return sum(layer.macs for layer in layers) / whole if whole else 0.0


def _zeros(net: Timed) -> list[str]:
    if not net.dense_kernels or net.flops is None or net.effective is None:
        return []
    zeros = net.flops - net.effective
    if zeros < ZEROS:
        return []
    kind = f"{net.zeros} zeros" if net.zeros else "zeros"
    return [
        f"{100 * zeros:.0f} of the {100 * (1 - net.effective):.0f} points of FLOPs saved are {kind}: the kernels here "
        "are dense and multiply with them all the same."
    ]


def _few_bits(net: Timed) -> list[str]:
    """Weights of few bits behind inputs in floating point."""
    few = [layer for layer in net.layers if layer.weight_bits < 32 and layer.activation_bits == 32]
    plain, packed = [x for x in few if x.runs == "fp32"], [x for x in few if x.runs == "int4"]
    found = []
    if _share(net, plain) >= SOME:
        bits = _range([layer.weight_bits for layer in plain])
        found.append(
            f"{_layers(plain)} with {bits}-bit weights and 32-bit inputs {_runs(plain)} in fp32: the bits save packed "
            "bytes and bit-operations, not time."
        )
    if _share(net, packed) >= SOME:
        found.append(
            f"{_layers(packed)} with weights of at most 4 bits and 32-bit inputs: the weights are unpacked and "
            "multiplied in fp32, so the bits save size, not arithmetic."
        )
    return found


def _rounded(net: Timed) -> list[str]:
    """8-bit inputs of layers that run in floating point all the same."""
    rounded = [layer for layer in net.layers if layer.activation_bits <= 8 and layer.runs == "fp32"]
    whole = [layer for layer in rounded if layer.weight_bits > 8]
    rest = [layer for layer in rounded if layer.weight_bits <= 8]
    found = []
    if _share(net, whole) >= SOME:
        found.append(
            f"{_layers(whole)} with 8-bit inputs but 32-bit weights {_runs(whole)} in fp32, and rounding the inputs "
            "takes time besides."
        )
    if _share(net, rest) >= SOME:
        found.append(
            f"{_layers(rest)} with 8-bit inputs {_runs(rest)} in fp32 all the same: the runtime has no integer kernel "
            "for their form, and rounding takes time besides."
        )
    return found


def _odd(layer: TimedLayer) -> list[int]:
    return [count for count in layer.cut if count % BLOCK]


def _blocks(net: Timed) -> list[str]:
    """Channels left over that fill no block."""
    odd = [layer for layer in net.layers if _odd(layer)]
    if _share(net, odd) < MUCH:
        return []
    counts = sorted({count for layer in odd for count in _odd(layer)})
    named = str(counts[0]) if len(counts) == 1 else f"{counts[0]} and {counts[-1]}"
    return [
        f"{_layers(odd)} {_have(odd)} channel counts left (such as {named}) that are no multiples of {BLOCK}: kernels "
        "take channels in blocks, and one that is not full costs as much as a full one."
    ]


def _is_thin(layer: TimedLayer) -> bool:
    return bool(layer.channels) and max(layer.channels) < THIN and not layer.factor


def _thin(net: Timed) -> list[str]:
    """Layers that do not fill a kernel, in integers or not."""
    text = _thin_integers(net)
    if text:
        return [text]
    thin = [layer for layer in net.layers if _is_thin(layer) and not _odd(layer)]
    if _share(net, thin) < MUCH:
        return []
    return [f"{_layers(thin)} {_have(thin)} fewer than {THIN} channels, too few to keep the kernels busy."]


def _thin_integers(net: Timed) -> str:
    thin = [layer for layer in net.layers if _is_thin(layer) and layer.runs == "int8"]
    if net.flops is None or net.time < net.flops or _share(net, thin) < MUCH:
        return ""
    return (
        f"{_layers(thin)} in int8 {_have(thin)} fewer than {THIN} channels: there integer kernels gain little, and may "
        "be slower than fp32."
    )


def _low_rank(net: Timed) -> list[str]:
    factors = [layer for layer in net.layers if layer.factor]
    if _share(net, factors) < SOME:
        return []
    return [
        f"{_layers(factors)} of low rank stand in pairs where one was: two calls, and what is between them has to be "
        "written and read."
    ]


def _calls(net: Timed) -> list[str]:
    each = net.ms / len(net.layers) if net.layers else CALL_MS
    if each >= CALL_MS:
        return []
    return [
        f"A layer takes {1000 * each:.1f} µs on average: at that size the calls themselves take much of the time, and "
        "FLOPs do not count them."
    ]


def _functional(net: Timed) -> list[str]:
    if net.functional < FUNCTIONAL or not any(layer.runs == "int8" for layer in net.layers):
        return []
    return [f"{percent(net.functional)} of its FLOPs are products without weights (attention), which stay in fp32."]


def _twin(net: Timed) -> list[str]:
    """What was measured of the same network in floating point."""
    if net.twin is None or not any(layer.runs == "int8" for layer in net.layers):
        return []
    number, ratio = net.twin
    if 1 / MARGIN <= ratio <= MARGIN:
        return [f"The same network in fp32 (trial {number}) was as fast."]
    word = f"{ratio:.2g} times as long as" if ratio > 1 else f"{percent(1 - ratio)} less time than"
    return [f"In integers it takes {word} the same network in fp32 (trial {number})."]


def _good_news(net: Timed) -> list[str]:
    if not ahead(net):
        return []
    integers = [layer for layer in net.layers if layer.runs == "int8"]
    if _share(net, integers) >= MOST:
        if net.twin is not None and net.twin[1] < 1 / MARGIN:
            return []  # said already, with a measured number
        return [f"{_further(net)}: {_of_all(integers, net.layers)} in int8."]
    if net.dropped:
        return [f"{_further(net)}: with the dropped layers went calls and activations that FLOPs do not count."]
    return []


def _further(net: Timed) -> str:
    work = "" if net.flops is None else f" ({saved(net.flops)})"
    return f"Time fell further than the FLOPs that are carried out{work}"


def _of_all(some: Sequence[TimedLayer], layers: Sequence[TimedLayer]) -> str:
    if len(some) == len(layers):
        return "its only layer multiplies" if len(some) == 1 else f"all {len(some)} layers multiply"
    return f"{len(some)} of {len(layers)} layers {'multiplies' if len(some) == 1 else 'multiply'}"


def _layers(layers: Sequence[TimedLayer]) -> str:
    return f"{len(layers)} layer{'' if len(layers) == 1 else 's'}"


def _runs(layers: Sequence[TimedLayer]) -> str:
    return "runs" if len(layers) == 1 else "run"


def _have(layers: Sequence[TimedLayer]) -> str:
    return "has" if len(layers) == 1 else "have"


def _range(values: Sequence[int]) -> str:
    low, high = min(values), max(values)
    return str(low) if low == high else f"{low}- to {high}"
