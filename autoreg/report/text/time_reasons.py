"""How far time followed FLOPs, and why not further: one plain sentence a reason, from the record of a network.

Effective FLOPs, FLOPs and time are ratios to the dense network's. The step from effective FLOPs to FLOPs is
zeros; the step from FLOPs to time is bits that no kernel uses, channels that do not fill one, calls, and integers.
"""

from __future__ import annotations

from collections.abc import Sequence

from autoreg.report.data.dense_reference import DenseComparison
from autoreg.report.data.front import FrontRow
from autoreg.report.data.load import StudyData
from autoreg.report.data.network_comparison import (
    FULL_PRECISION_BITS,
    ComputedLayer,
    NetworkComparison,
    time_saved_less,
    time_saved_more,
)
from autoreg.report.text.metrics import percent, percent_saved, plural
from autoreg.report.text.phrase import recipe_phrase

MIN_ZEROS = 0.05  # of dense FLOPs: fewer zeros get no sentence
# shares of a network's multiply-accumulates that layers of one kind need to get a sentence: any layers, those whose
# channels fill no kernel, those in integers
MIN_SHARE, MIN_CHANNELS_SHARE, MIN_INTEGER_SHARE = 0.1, 0.25, 0.5
THIN_CHANNELS, CHANNEL_BLOCK = 16, 8  # fewer do not fill a kernel; kernels take so many at a time
OVERHEAD_MS = 0.01  # a layer that takes less is mostly the overhead of a call
SAME_TIME_RATIO = 1.05  # a network is slower than another when it takes this many times as long
MIN_UNWEIGHTED_SHARE = 0.2  # of FLOPs in products without weights (attention) that get a sentence


def comparison_sentence(net: NetworkComparison) -> str:
    """Effective FLOPs saved and time saved, in a sentence."""
    work = "" if net.effective_flops is None else f"effective FLOPs: {percent_saved(net.effective_flops)}; "
    time = "no measurable difference" if net.low <= 1 <= net.high else percent_saved(net.time)
    text = f"{work}time: {time}."
    return text[0].upper() + text[1:]


def time_notes(data: StudyData, rows: Sequence[FrontRow]) -> list[str]:
    """Members of a front whose measured times differ from their other costs, one text a member."""
    reference = DenseComparison.of(data)
    notes = []
    for row in rows:
        net = reference.compare_trial(row.trial)
        if net is not None and (why := reasons(net)):
            sentences = " ".join([comparison_sentence(net), *why])
            notes.append(f"{row.name[0].upper()}{row.name[1:]} ({recipe_phrase(row.recipe)}): {sentences}")
    return notes


def reasons(net: NetworkComparison) -> list[str]:
    """Why time and costs differ, most certain first; empty where time followed all of them."""
    found = [*_zeros(net), *_few_bit_weights(net), *_quantized_inputs(net)]
    if time_saved_less(net):
        found += _too_slow(net) or ["Nothing in the record says why time did not follow."]
    elif _thin_integers(net):
        found += [_thin_integers(net)]
    return [*found, *_fp32_counterpart(net), *_faster_than_flops(net)]


def _too_slow(net: NetworkComparison) -> list[str]:
    found = [*_partial_blocks(net), *_thin_layers(net), *_low_rank(net), *_calls(net), *_unweighted(net)]
    shrunk = any(layer.reduced for layer in net.layers)
    if not found and shrunk:
        found.append(
            "What FLOPs do not count (activations, additions, norms, changes of layout) shrinks less than they do when "
            "channels go."
        )
    return found


def _share(net: NetworkComparison, layers: Sequence[ComputedLayer]) -> float:
    """The part of the multiplications of all layers that some of them have."""
    whole = sum(layer.macs for layer in net.layers)
    return sum(layer.macs for layer in layers) / whole if whole else 0.0


def _zeros(net: NetworkComparison) -> list[str]:
    if not net.dense_kernels or net.flops is None or net.effective_flops is None:
        return []
    zeros = net.flops - net.effective_flops
    if zeros < MIN_ZEROS:
        return []
    kind = f"{net.zeros} zeros" if net.zeros else "zeros"
    return [
        f"{100 * zeros:.0f} of the {100 * (1 - net.effective_flops):.0f} points of FLOPs saved are {kind}: the "
        "kernels here are dense and multiply with them all the same."
    ]


def _few_bit_weights(net: NetworkComparison) -> list[str]:
    """Weights of few bits behind inputs in floating point."""
    full = FULL_PRECISION_BITS
    few = [layer for layer in net.layers if layer.weight_bits < full and layer.activation_bits == full]
    plain, packed = [x for x in few if x.precision == "fp32"], [x for x in few if x.precision == "int4"]
    found = []
    if _share(net, plain) >= MIN_SHARE:
        bits = _range([layer.weight_bits for layer in plain])
        found.append(
            f"{_layers(plain)} with {bits}-bit weights and 32-bit inputs {_runs(plain)} in fp32: the bits save packed "
            "bytes and bit-operations, not time."
        )
    if _share(net, packed) >= MIN_SHARE:
        found.append(
            f"{_layers(packed)} with weights of at most 4 bits and 32-bit inputs: the weights are unpacked and "
            "multiplied in fp32, so the bits save size, not arithmetic."
        )
    return found


def _quantized_inputs(net: NetworkComparison) -> list[str]:
    """8-bit inputs of layers that run in floating point all the same."""
    rounded = [layer for layer in net.layers if layer.activation_bits <= 8 and layer.precision == "fp32"]
    whole = [layer for layer in rounded if layer.weight_bits > 8]
    rest = [layer for layer in rounded if layer.weight_bits <= 8]
    found = []
    if _share(net, whole) >= MIN_SHARE:
        found.append(
            f"{_layers(whole)} with 8-bit inputs but 32-bit weights {_runs(whole)} in fp32, and rounding the inputs "
            "takes extra time."
        )
    if _share(net, rest) >= MIN_SHARE:
        found.append(
            f"{_layers(rest)} with 8-bit inputs {_runs(rest)} in fp32 all the same: the runtime has no integer kernel "
            "for their form, and rounding takes extra time."
        )
    return found


def _odd_counts(layer: ComputedLayer) -> list[int]:
    return [count for count in layer.reduced if count % CHANNEL_BLOCK]


def _partial_blocks(net: NetworkComparison) -> list[str]:
    """Channels left over that fill no block."""
    odd = [layer for layer in net.layers if _odd_counts(layer)]
    if _share(net, odd) < MIN_CHANNELS_SHARE:
        return []
    counts = sorted({count for layer in odd for count in _odd_counts(layer)})
    named = str(counts[0]) if len(counts) == 1 else f"{counts[0]} and {counts[-1]}"
    return [
        f"{_layers(odd)} {_have(odd)} channel counts left (such as {named}) that are no multiples of {CHANNEL_BLOCK}: "
        "kernels take channels in blocks, and one that is not full costs as much as a full one."
    ]


def _is_thin(layer: ComputedLayer) -> bool:
    return bool(layer.channels) and max(layer.channels) < THIN_CHANNELS and not layer.low_rank


def _thin_layers(net: NetworkComparison) -> list[str]:
    """Layers that do not fill a kernel, in integers or not."""
    text = _thin_integers(net)
    if text:
        return [text]
    thin = [layer for layer in net.layers if _is_thin(layer) and not _odd_counts(layer)]
    if _share(net, thin) < MIN_CHANNELS_SHARE:
        return []
    return [f"{_layers(thin)} {_have(thin)} fewer than {THIN_CHANNELS} channels, too few to keep the kernels busy."]


def _thin_integers(net: NetworkComparison) -> str:
    thin = [layer for layer in net.layers if _is_thin(layer) and layer.precision == "int8"]
    if net.flops is None or net.time < net.flops or _share(net, thin) < MIN_CHANNELS_SHARE:
        return ""
    return (
        f"{_layers(thin)} in int8 {_have(thin)} fewer than {THIN_CHANNELS} channels: there integer kernels gain "
        "little, and may be slower than fp32."
    )


def _low_rank(net: NetworkComparison) -> list[str]:
    factors = [layer for layer in net.layers if layer.low_rank]
    if _share(net, factors) < MIN_SHARE:
        return []
    return [
        f"{_layers(factors)} of low rank stand in pairs where one was: two calls, and what is between them has to be "
        "written and read."
    ]


def _calls(net: NetworkComparison) -> list[str]:
    each = net.ms / len(net.layers) if net.layers else OVERHEAD_MS
    if each >= OVERHEAD_MS:
        return []
    return [
        f"A layer takes {1000 * each:.1f} µs on average: at that size the calls themselves take much of the time, and "
        "FLOPs do not count them."
    ]


def _unweighted(net: NetworkComparison) -> list[str]:
    if net.unweighted < MIN_UNWEIGHTED_SHARE or not any(layer.precision == "int8" for layer in net.layers):
        return []
    return [f"{percent(net.unweighted)} of its FLOPs are products without weights (attention), which stay in fp32."]


def _fp32_counterpart(net: NetworkComparison) -> list[str]:
    """What was measured of the same network in floating point."""
    if net.fp32_counterpart is None or not any(layer.precision == "int8" for layer in net.layers):
        return []
    number, ratio = net.fp32_counterpart
    if 1 / SAME_TIME_RATIO <= ratio <= SAME_TIME_RATIO:
        return [f"The same network in fp32 (trial {number}) was as fast."]
    word = f"{ratio:.2g} times as long as" if ratio > 1 else f"{percent(1 - ratio)} less time than"
    return [f"In integers it takes {word} the same network in fp32 (trial {number})."]


def _faster_than_flops(net: NetworkComparison) -> list[str]:
    if not time_saved_more(net):
        return []
    integers = [layer for layer in net.layers if layer.precision == "int8"]
    if _share(net, integers) >= MIN_INTEGER_SHARE:
        if net.fp32_counterpart is not None and net.fp32_counterpart[1] < 1 / SAME_TIME_RATIO:
            return []  # the measured ratio is given already
        return [f"{_more_time_saved(net)}: {_of_all(integers, net.layers)} in int8."]
    if net.dropped:
        return [f"{_more_time_saved(net)}: with the dropped layers went calls and activations that FLOPs do not count."]
    return []


def _more_time_saved(net: NetworkComparison) -> str:
    work = "" if net.flops is None else f" ({percent_saved(net.flops)})"
    return f"Time fell further than the FLOPs{work}"


def _of_all(some: Sequence[ComputedLayer], layers: Sequence[ComputedLayer]) -> str:
    if len(some) == len(layers):
        return "its only layer multiplies" if len(some) == 1 else f"all {len(some)} layers multiply"
    return f"{len(some)} of {len(layers)} layers {'multiplies' if len(some) == 1 else 'multiply'}"


def _layers(layers: Sequence[ComputedLayer]) -> str:
    return plural(len(layers), "layer")


def _runs(layers: Sequence[ComputedLayer]) -> str:
    return "runs" if len(layers) == 1 else "run"


def _have(layers: Sequence[ComputedLayer]) -> str:
    return "has" if len(layers) == 1 else "have"


def _range(values: Sequence[int]) -> str:
    low, high = min(values), max(values)
    return str(low) if low == high else f"{low}- to {high}"
