"""Why time and costs differ: each sentence stands there when its condition holds, and only then."""

from __future__ import annotations

from dataclasses import replace

import pytest

from autoreg.report.data.network_comparison import (
    ComputedLayer,
    NetworkComparison,
    time_saved_less,
    time_saved_more,
)
from autoreg.report.text.metrics import percent, percent_saved
from autoreg.report.text.time_reasons import comparison_sentence, reasons

ZEROS, FEW_BITS, UNPACKED = "multiply with them all the same", "packed bytes and bit-operations", "are unpacked"
WHOLE, NO_KERNEL, BLOCKS = "but 32-bit weights", "no integer kernel for their form", "no multiples of 8"
THIN, THIN_INT8, PAIRS = "too few to keep", "integer kernels gain little", "of low rank stand in pairs"
CALLS, ATTENTION, REST = "the calls themselves", "products without weights", "What FLOPs do not count"
NOTHING, AS_FAST, LESS, LONGER = "Nothing in the record", "was as fast", "less time than", "times as long as"
INT8, DROPPED = "multiply in int8", "with the dropped layers"
COSTS = (ZEROS, FEW_BITS, UNPACKED, WHOLE, NO_KERNEL)
TIMES = (BLOCKS, THIN, THIN_INT8, PAIRS, CALLS, ATTENTION, REST, NOTHING)
EVERY = (*COSTS, *TIMES, AS_FAST, LESS, LONGER, INT8, DROPPED)

WIDE = tuple(ComputedLayer(f"layer{i}", 1000, (64, 64)) for i in range(4))


def net(time: float, flops: float, layers: tuple[ComputedLayer, ...] = WIDE, **changes: object) -> NetworkComparison:
    """A network with an exactly known time, without zeros unless given, of 1 ms."""
    known = {"low": time, "high": time, "ms": 1.0, "flops": flops, "effective_flops": flops, "layers": layers} | changes
    return NetworkComparison(time=time, **known)  # type: ignore[arg-type]


def alike(**changes: object) -> tuple[ComputedLayer, ...]:
    """Four layers with the same changes."""
    return tuple(replace(layer, **changes) for layer in WIDE)  # type: ignore[arg-type]


def sentences_of(found: NetworkComparison) -> set[str]:
    """Which of all sentences a network gets; every sentence is one of them."""
    sentences = reasons(found)
    which = {part for part in EVERY if any(part in sentence for sentence in sentences)}
    assert len(which) == len(sentences), sentences
    assert all(sentence.endswith(".") and "\n" not in sentence for sentence in sentences)
    return which


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.37, "63\u00a0% saved"), (1.08, "8\u00a0% more"), (0.998, "as dense"), (0.992, "0.8\u00a0% saved")],
)
def test_shares_are_said_as_what_was_saved(share: float, text: str) -> None:
    """The share is of the dense network's value."""
    assert percent_saved(share) == text


def test_percent_has_one_digit_more_below_one() -> None:
    """0.4 % is not 0 %."""
    assert (percent(0.004), percent(0.634), percent(0)) == ("0.4\u00a0%", "63\u00a0%", "0\u00a0%")


def test_both_savings_stand_side_by_side() -> None:
    """Effective FLOPs and time; a time whose interval reaches dense's is not called a difference."""
    assert comparison_sentence(net(0.5, 0.4)) == "Effective FLOPs: 60\u00a0% saved; time: 50\u00a0% saved."
    assert comparison_sentence(net(0.98, 0.4, low=0.95, high=1.01)).endswith("time: no measurable difference.")
    assert comparison_sentence(net(1.2, 0.4, effective_flops=None)) == "Time: 20\u00a0% more."


@pytest.mark.parametrize(
    ("time", "flops", "expected"),
    [
        (0.5, 0.45, (False, False)),  # 5 points
        (0.5, 0.35, (True, False)),  # 15 points
        (0.08, 0.04, (True, False)),  # twice as much, 4 points
        (0.05, 0.03, (False, False)),  # 2 points are nothing
        (0.35, 0.5, (False, True)),
        (0.04, 0.08, (False, True)),
    ],
)
def test_time_differs_much_by_ten_points_or_by_a_quarter(
    time: float, flops: float, expected: tuple[bool, bool]
) -> None:
    """Neither behind nor ahead means that time followed."""
    assert (time_saved_less(net(time, flops)), time_saved_more(net(time, flops))) == expected


def test_an_interval_that_reaches_the_flops_is_no_difference() -> None:
    """What the interval leaves open is not explained."""
    assert not time_saved_less(net(0.5, 0.35, low=0.3, high=0.8))
    assert not time_saved_more(net(0.35, 0.5, low=0.3, high=0.55))
    assert not time_saved_less(replace(net(0.9, 0.1), flops=None))


def test_time_that_followed_needs_no_words() -> None:
    """Half of everything, in floating point."""
    assert sentences_of(net(0.5, 0.5)) == set()


def test_zeros_are_named_wherever_kernels_are_dense() -> None:
    """Effective FLOPs fell 20 points further than FLOPs; the sentence has how many of the points are zeros."""
    sparse = net(0.5, 0.5, effective_flops=0.3, zeros="4:8")
    assert sentences_of(sparse) == {ZEROS}
    assert reasons(sparse)[0].startswith("20 of the 70 points of FLOPs saved are 4:8 zeros")
    assert sentences_of(replace(sparse, effective_flops=0.46)) == set()
    assert sentences_of(replace(sparse, dense_kernels=False)) == set()
    assert sentences_of(replace(sparse, effective_flops=None)) == set()


def test_bits_behind_floating_inputs_save_no_time() -> None:
    """The bits are named; one small layer of that kind gets no sentence."""
    assert sentences_of(net(1.0, 1.0, alike(weight_bits=6))) == {FEW_BITS}
    assert reasons(net(1.0, 1.0, alike(weight_bits=6)))[0].startswith("4 layers with 6-bit weights and 32-bit inputs")
    mixed = (replace(WIDE[0], weight_bits=2), replace(WIDE[1], weight_bits=8), *WIDE[2:])
    assert "2 layers with 2- to 8-bit weights" in reasons(net(1.0, 1.0, mixed))[0]
    small = (*WIDE, ComputedLayer("head", 10, (10, 64), weight_bits=4))
    assert sentences_of(net(1.0, 1.0, small)) == set()
    assert sentences_of(net(1.0, 1.0, alike(weight_bits=4, precision="int4"))) == {UNPACKED}


def test_rounded_inputs_that_stay_in_floating_point_are_sentences_of() -> None:
    """8-bit inputs of layers in fp32: for lack of integer weights, or of a kernel."""
    assert sentences_of(net(1.0, 1.0, alike(activation_bits=8))) == {WHOLE}
    assert sentences_of(net(1.0, 1.0, alike(weight_bits=8, activation_bits=8))) == {NO_KERNEL}
    assert sentences_of(net(1.0, 1.0, alike(weight_bits=8, activation_bits=8, precision="int8"))) == set()


def test_partial_blocks_of_channels_are_named_when_time_fell_less() -> None:
    """Only counts that removal left and that 8 does not divide; a head of 10 classes is nobody's fault."""
    odd = alike(channels=(12, 28), reduced=(12, 28))
    assert sentences_of(net(0.9, 0.5, odd)) == {BLOCKS}
    assert "(such as 12 and 28)" in reasons(net(0.9, 0.5, odd))[0]
    assert sentences_of(net(0.5, 0.5, odd)) == set()
    assert BLOCKS not in sentences_of(net(0.9, 0.5, alike(channels=(24, 48), reduced=(24, 48))))
    assert sentences_of(net(0.9, 0.5, alike(channels=(12, 28)))) == {NOTHING}


def test_thin_layers_are_named_when_time_fell_less() -> None:
    """Fewer than 16 channels in and out, in a quarter of the work."""
    thin = alike(channels=(8, 8))
    assert sentences_of(net(0.6, 0.25, thin)) == {THIN}
    assert sentences_of(net(0.25, 0.25, thin)) == set()
    assert sentences_of(net(0.6, 0.25, alike(channels=(16, 8)))) == {NOTHING}
    assert sentences_of(net(0.6, 0.25, (*WIDE, replace(WIDE[0], name="thin", channels=(8, 8))))) == {NOTHING}


def test_thin_layers_in_integers_are_named_unless_time_fell_more() -> None:
    """Integers should bring time under FLOPs; where they did not, and layers are thin, that is why."""
    thin = alike(channels=(8, 8), weight_bits=8, activation_bits=8, precision="int8")
    assert sentences_of(net(0.6, 0.25, thin)) == {THIN_INT8}
    assert sentences_of(net(0.27, 0.25, thin)) == {THIN_INT8}
    assert sentences_of(net(0.2, 0.25, thin)) == set()
    assert sentences_of(net(0.1, 0.25, thin)) == {INT8}


def test_layers_of_low_rank_are_two_calls() -> None:
    """Named when time fell less; a rank is no thin layer."""
    factors = alike(channels=(8, 8), low_rank=True)
    assert sentences_of(net(0.8, 0.4, factors)) == {PAIRS}
    assert sentences_of(net(0.4, 0.4, factors)) == set()


def test_tiny_layers_are_bound_by_calls() -> None:
    """0.02 ms for four layers is 5 µs each; at 10 µs each there is no sentence."""
    assert sentences_of(net(0.8, 0.3, ms=0.02)) == {CALLS}
    assert "5.0 µs" in reasons(net(0.8, 0.3, ms=0.02))[0]
    assert sentences_of(net(0.8, 0.3, ms=0.04)) == {NOTHING}
    assert sentences_of(net(0.3, 0.3, ms=0.02)) == set()


def test_attention_that_stays_in_floating_point_is_named_for_integer_networks() -> None:
    """A third of the FLOPs has no weight."""
    integers = alike(weight_bits=8, activation_bits=8, precision="int8")
    assert sentences_of(net(0.8, 0.5, integers, unweighted=0.33)) == {ATTENTION}
    assert sentences_of(net(0.8, 0.5, integers, unweighted=0.1)) == {NOTHING}
    assert sentences_of(net(0.8, 0.5, unweighted=0.33)) == {NOTHING}


def test_what_flops_do_not_count_comes_last() -> None:
    """Channels went, and nothing else explains it."""
    cut = alike(channels=(32, 32), reduced=(32, 32))
    assert sentences_of(net(0.6, 0.25, cut)) == {REST}
    assert sentences_of(net(0.25, 0.25, cut)) == set()
    assert sentences_of(net(0.6, 0.25, cut, ms=0.02)) == {CALLS}


def test_the_same_network_in_fp32_is_compared_with() -> None:
    """Slower, as fast and faster; only integer networks are compared."""
    integers = alike(weight_bits=8, activation_bits=8, precision="int8")
    assert sentences_of(net(0.5, 0.5, integers, fp32_counterpart=(3, 1.2))) == {LONGER}
    assert reasons(net(0.5, 0.5, integers, fp32_counterpart=(3, 1.2))) == [
        "In integers it takes 1.2 times as long as the same network in fp32 (trial 3)."
    ]
    assert sentences_of(net(0.5, 0.5, integers, fp32_counterpart=(3, 1.03))) == {AS_FAST}
    assert sentences_of(net(0.5, 1.0, integers, fp32_counterpart=(3, 0.5))) == {LESS}
    assert sentences_of(net(0.5, 0.5, fp32_counterpart=(3, 1.2))) == set()


def test_time_that_fell_further_is_explained_too() -> None:
    """Time fell further than FLOPs: by integers, or with what dropped layers leave out."""
    integers = alike(weight_bits=8, activation_bits=8, precision="int8")
    assert reasons(net(0.5, 0.74, integers)) == [
        "Time fell further than the FLOPs (26\u00a0% saved): all 4 layers multiply in int8."
    ]
    assert reasons(net(0.5, 1.0, (*integers[:3], WIDE[3])))[0].endswith("3 of 4 layers multiply in int8.")
    assert sentences_of(net(0.5, 0.75, dropped=2)) == {DROPPED}
    assert sentences_of(net(0.5, 0.75)) == set()
    assert sentences_of(net(1.0, 1.0, integers)) == set()
