"""Why time and costs differ: each sentence stands there when its condition holds, and only then."""

from __future__ import annotations

from dataclasses import replace

import pytest

from autoreg.report.data.timed import Timed, TimedLayer, ahead, behind, comparison, percent, saved
from autoreg.report.text.time_reasons import reasons

ZEROS, FEW_BITS, UNPACKED = "multiply with them all the same", "packed bytes and bit-operations", "are unpacked"
WHOLE, NO_KERNEL, BLOCKS = "but 32-bit weights", "no integer kernel for their form", "no multiples of 8"
THIN, THIN_INT8, PAIRS = "too few to keep", "integer kernels gain little", "of low rank stand in pairs"
CALLS, ATTENTION, REST = "the calls themselves", "products without weights", "What FLOPs do not count"
NOTHING, AS_FAST, LESS, LONGER = "Nothing in the record", "was as fast", "less time than", "times as long as"
INT8, DROPPED = "multiply in int8", "with the dropped layers"
COSTS = (ZEROS, FEW_BITS, UNPACKED, WHOLE, NO_KERNEL)
TIMES = (BLOCKS, THIN, THIN_INT8, PAIRS, CALLS, ATTENTION, REST, NOTHING)
EVERY = (*COSTS, *TIMES, AS_FAST, LESS, LONGER, INT8, DROPPED)

WIDE = tuple(TimedLayer(f"layer{i}", 1000, (64, 64)) for i in range(4))


def net(time: float, flops: float, layers: tuple[TimedLayer, ...] = WIDE, **changes: object) -> Timed:
    """A network with an exactly known time, without zeros unless told, of 1 ms."""
    known = {"low": time, "high": time, "ms": 1.0, "flops": flops, "effective": flops, "layers": layers} | changes
    return Timed(time=time, **known)  # type: ignore[arg-type]


def alike(**changes: object) -> tuple[TimedLayer, ...]:
    """Four layers with the same changes."""
    return tuple(replace(layer, **changes) for layer in WIDE)  # type: ignore[arg-type]


def told(found: Timed) -> set[str]:
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
    assert saved(share) == text


def test_percent_has_one_digit_more_below_one() -> None:
    """0.4 % is not 0 %."""
    assert (percent(0.004), percent(0.634), percent(0)) == ("0.4\u00a0%", "63\u00a0%", "0\u00a0%")


def test_both_savings_stand_side_by_side() -> None:
    """Effective FLOPs and time; a time whose interval reaches dense's is not called a difference."""
    assert comparison(net(0.5, 0.4)) == "Effective FLOPs: 60\u00a0% saved; time: 50\u00a0% saved."
    assert comparison(net(0.98, 0.4, low=0.95, high=1.01)).endswith("time: no measurable difference.")
    assert comparison(net(1.2, 0.4, effective=None)) == "Time: 20\u00a0% more."


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
    assert (behind(net(time, flops)), ahead(net(time, flops))) == expected


def test_an_interval_that_reaches_the_flops_is_no_difference() -> None:
    """What the interval leaves open is not explained."""
    assert not behind(net(0.5, 0.35, low=0.3, high=0.8))
    assert not ahead(net(0.35, 0.5, low=0.3, high=0.55))
    assert not behind(replace(net(0.9, 0.1), flops=None))


def test_time_that_followed_needs_no_words() -> None:
    """Half of everything, in floating point."""
    assert told(net(0.5, 0.5)) == set()


def test_zeros_are_told_wherever_kernels_are_dense() -> None:
    """Effective FLOPs fell 20 points further than FLOPs; how many of the points are zeros is said."""
    sparse = net(0.5, 0.5, effective=0.3, zeros="4:8")
    assert told(sparse) == {ZEROS}
    assert reasons(sparse)[0].startswith("20 of the 70 points of FLOPs saved are 4:8 zeros")
    assert told(replace(sparse, effective=0.46)) == set()
    assert told(replace(sparse, dense_kernels=False)) == set()
    assert told(replace(sparse, effective=None)) == set()


def test_bits_behind_floating_inputs_save_no_time() -> None:
    """The bits are named; one small layer of that kind is not worth a sentence."""
    assert told(net(1.0, 1.0, alike(weight_bits=6))) == {FEW_BITS}
    assert reasons(net(1.0, 1.0, alike(weight_bits=6)))[0].startswith("4 layers with 6-bit weights and 32-bit inputs")
    mixed = (replace(WIDE[0], weight_bits=2), replace(WIDE[1], weight_bits=8), *WIDE[2:])
    assert "2 layers with 2- to 8-bit weights" in reasons(net(1.0, 1.0, mixed))[0]
    small = (*WIDE, TimedLayer("head", 10, (10, 64), weight_bits=4))
    assert told(net(1.0, 1.0, small)) == set()
    assert told(net(1.0, 1.0, alike(weight_bits=4, runs="int4"))) == {UNPACKED}


def test_rounded_inputs_that_stay_in_floating_point_are_told() -> None:
    """8-bit inputs of layers in fp32: for lack of integer weights, or of a kernel."""
    assert told(net(1.0, 1.0, alike(activation_bits=8))) == {WHOLE}
    assert told(net(1.0, 1.0, alike(weight_bits=8, activation_bits=8))) == {NO_KERNEL}
    assert told(net(1.0, 1.0, alike(weight_bits=8, activation_bits=8, runs="int8"))) == set()


def test_incomplete_blocks_of_channels_are_told_when_time_is_behind() -> None:
    """Only counts that removal left and that 8 does not divide; a head of 10 classes is nobody's fault."""
    odd = alike(channels=(12, 28), cut=(12, 28))
    assert told(net(0.9, 0.5, odd)) == {BLOCKS}
    assert "(such as 12 and 28)" in reasons(net(0.9, 0.5, odd))[0]
    assert told(net(0.5, 0.5, odd)) == set()
    assert BLOCKS not in told(net(0.9, 0.5, alike(channels=(24, 48), cut=(24, 48))))
    assert told(net(0.9, 0.5, alike(channels=(12, 28)))) == {NOTHING}


def test_thin_layers_are_told_when_time_is_behind() -> None:
    """Fewer than 16 channels in and out, in a quarter of the work."""
    thin = alike(channels=(8, 8))
    assert told(net(0.6, 0.25, thin)) == {THIN}
    assert told(net(0.25, 0.25, thin)) == set()
    assert told(net(0.6, 0.25, alike(channels=(16, 8)))) == {NOTHING}
    assert told(net(0.6, 0.25, (*WIDE, replace(WIDE[0], name="thin", channels=(8, 8))))) == {NOTHING}


def test_thin_layers_in_integers_are_told_unless_time_is_ahead() -> None:
    """Integers should bring time under FLOPs; where they did not, and layers are thin, that is why."""
    thin = alike(channels=(8, 8), weight_bits=8, activation_bits=8, runs="int8")
    assert told(net(0.6, 0.25, thin)) == {THIN_INT8}
    assert told(net(0.27, 0.25, thin)) == {THIN_INT8}
    assert told(net(0.2, 0.25, thin)) == set()
    assert told(net(0.1, 0.25, thin)) == {INT8}


def test_layers_of_low_rank_are_two_calls() -> None:
    """Told when time is behind; the rank is no thin layer."""
    factors = alike(channels=(8, 8), factor=True)
    assert told(net(0.8, 0.4, factors)) == {PAIRS}
    assert told(net(0.4, 0.4, factors)) == set()


def test_tiny_layers_are_bound_by_calls() -> None:
    """0.02 ms for four layers is 5 µs each; at 10 µs each it is not told."""
    assert told(net(0.8, 0.3, ms=0.02)) == {CALLS}
    assert "5.0 µs" in reasons(net(0.8, 0.3, ms=0.02))[0]
    assert told(net(0.8, 0.3, ms=0.04)) == {NOTHING}
    assert told(net(0.3, 0.3, ms=0.02)) == set()


def test_attention_that_stays_in_floating_point_is_told_of_integer_networks() -> None:
    """A third of the FLOPs has no weight."""
    integers = alike(weight_bits=8, activation_bits=8, runs="int8")
    assert told(net(0.8, 0.5, integers, functional=0.33)) == {ATTENTION}
    assert told(net(0.8, 0.5, integers, functional=0.1)) == {NOTHING}
    assert told(net(0.8, 0.5, functional=0.33)) == {NOTHING}


def test_what_flops_do_not_count_comes_last() -> None:
    """Channels went, and nothing else explains it."""
    cut = alike(channels=(32, 32), cut=(32, 32))
    assert told(net(0.6, 0.25, cut)) == {REST}
    assert told(net(0.25, 0.25, cut)) == set()
    assert told(net(0.6, 0.25, cut, ms=0.02)) == {CALLS}


def test_the_same_network_in_floating_point_is_the_best_witness() -> None:
    """Slower, as fast and faster; it is asked of integer networks alone."""
    integers = alike(weight_bits=8, activation_bits=8, runs="int8")
    assert told(net(0.5, 0.5, integers, twin=(3, 1.2))) == {LONGER}
    assert reasons(net(0.5, 0.5, integers, twin=(3, 1.2))) == [
        "In integers it takes 1.2 times as long as the same network in fp32 (trial 3)."
    ]
    assert told(net(0.5, 0.5, integers, twin=(3, 1.03))) == {AS_FAST}
    assert told(net(0.5, 1.0, integers, twin=(3, 0.5))) == {LESS}
    assert told(net(0.5, 0.5, twin=(3, 1.2))) == set()


def test_good_news_is_told_too() -> None:
    """Time fell further than FLOPs: by integers, or with what dropped layers leave out."""
    integers = alike(weight_bits=8, activation_bits=8, runs="int8")
    assert reasons(net(0.5, 0.74, integers)) == [
        "Time fell further than the FLOPs that are carried out (26\u00a0% saved): all 4 layers multiply in int8."
    ]
    assert reasons(net(0.5, 1.0, (*integers[:3], WIDE[3])))[0].endswith("3 of 4 layers multiply in int8.")
    assert told(net(0.5, 0.75, dropped=2)) == {DROPPED}
    assert told(net(0.5, 0.75)) == set()
    assert told(net(1.0, 1.0, integers)) == set()
