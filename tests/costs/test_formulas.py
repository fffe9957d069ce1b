"""Packing formulas and plain data, by hand."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoreg.costs.formulas import packed_bytes, scale_bytes
from autoreg.costs.levels import Levels
from autoreg.costs.predict import groups_after, predict
from autoreg.errors import InputError
from autoreg.network.shapes import ChannelGroup, LayerProfile, OtherParams, Profile

CHAIN = Profile(
    layers=(
        LayerProfile("a", "Conv2d", (8, 3, 3, 3), True, 16, out_group="a"),
        LayerProfile("b", "Linear", (10, 8 * 4), False, 1, in_groups=(("a", 4),)),
    ),
    channel_groups=(
        ChannelGroup("a", 8, (("a", 0), ("n", 0), ("b", 1)), ("a",), ("b",), ((0, 1), (0, 1), (0, 4))),
        ChannelGroup("b", 10, (("b", 0),), ("b",), (), ((0, 1),), removable=False, reason="the output"),
    ),
    others=(OtherParams("n", "BatchNorm2d", 16, 16, None, (("a", 2, 2),)),),
)


@pytest.mark.parametrize(
    ("count", "retained", "bits", "expected"),
    [
        (1000, 1000, 32, 4000),  # dense floats
        (1000, 1000, 3, 375),  # dense integers
        (9, 9, 3, 4),  # 27 bits round up to bytes
        (1000, 500, 8, 500 + 125),  # half: a bitmask of 125 bytes, indices would take 625
        (1000, 10, 8, 10 + 13),  # 1 %: 10 indices of 10 bits
        (1024, 4, 32, 16 + 5),  # four indices of 10 bits
        (1000, 0, 8, 0),  # nothing is left
        (1000, 990, 2, 250),  # so few zeros that writing them out is smallest
    ],
)
def test_packed_bytes_known_answers(count: int, retained: int, bits: int, expected: int) -> None:
    """Dense, bitmask and index packing, worked by hand."""
    assert packed_bytes(count, retained, bits) == expected


@given(count=st.integers(1, 5000), share=st.floats(0, 1), bits=st.integers(1, 32))
def test_packing_never_grows_when_a_weight_is_masked(count: int, share: float, bits: int) -> None:
    """More zeros or fewer bits never need more bytes."""
    retained = int(share * count)
    assert packed_bytes(count, retained, bits) <= packed_bytes(count, min(retained + 1, count), bits)
    assert packed_bytes(count, retained, max(bits - 1, 1)) <= packed_bytes(count, retained, bits)


def test_scales_and_zero_points() -> None:
    """4 bytes a scale, 1 byte a zero point, none in floating point."""
    assert scale_bytes(10, 8, "tensor", True) == 4
    assert scale_bytes(10, 8, "channel", True) == 40
    assert scale_bytes(10, 8, "channel", False) == 50
    assert scale_bytes(10, 32, "channel", False) == 0


def test_predict_by_hand() -> None:
    """A convolution, its norm and a linear layer after flattening, all at once."""
    levels = Levels(
        channels={"a": 5}, retained={"b": 100}, weight_bits={"a": 4, "b": 8}, activation_bits={"b": 8}, symmetric=False
    )
    costs = predict(CHAIN, levels)
    conv, linear = 5 * 3 * 9, 10 * 5 * 4
    assert costs.flops == 2 * (16 * conv + linear)
    assert costs.effective_flops == 2 * (16 * conv + 100)
    assert costs.bops == 16 * conv * 4 * 32 + linear * 8 * 8
    assert costs.weights == conv + linear
    assert costs.params == conv + linear + 5 + 10
    first = (4 * conv + 7) // 8 + 5 * 5 + 4 * 5  # weights, scales with zero points, biases
    second = 100 + 25 + 10 * 5  # retained weights, bitmask, scales with zero points
    assert costs.bytes == first + second + 4 * (10 + 10)  # norm: 2 parameters and 2 statistics a channel
    assert [layer.shape for layer in costs.per_layer] == [(5, 3, 3, 3), (10, 20)]
    assert costs.per_layer[1].density == 0.5


@pytest.mark.parametrize(
    ("levels", "message"),
    [
        (Levels(retained={"c": 1}), "no layer is called 'c'"),
        (Levels(channels={"aa": 1}), "did you mean 'a'"),
        (Levels(dropped=("x",)), "no droppable block is called 'x'"),
        (Levels(channels={"a": 0}), "retains 0 channels; allowed: 1 to 8"),
        (Levels(channels={"b": 9}), "cannot be removed: the output"),
        (Levels(channels={"a": 4}, retained={"b": 161}), "retains 161 weights; allowed: 0 to 160"),
    ],
)
def test_wrong_levels_are_refused_by_name(levels: Levels, message: str) -> None:
    """The message names what was found and what is allowed."""
    with pytest.raises(InputError, match=message):
        predict(CHAIN, levels)


def test_bits_out_of_range_are_refused() -> None:
    """1 to 32 bits."""
    with pytest.raises(InputError, match="weight_bits of 'a' is 0; allowed: 1 to 32"):
        Levels(weight_bits={"a": 0})
    with pytest.raises(InputError, match="granularity is 'row'"):
        Levels(granularity="row")  # type: ignore[arg-type]


def test_levels_are_plain_data() -> None:
    """What phases are keyed by: every field, as JSON knows it."""
    levels = Levels(("x",), {"a": 1}, {"b": 2}, {"a": 4}, {"b": 8}, "tensor", False, {"c": 3})
    assert json.loads(json.dumps(levels.to_dict())) == {
        "dropped": ["x"],
        "channels": {"a": 1},
        "retained": {"b": 2},
        "weight_bits": {"a": 4},
        "activation_bits": {"b": 8},
        "granularity": "tensor",
        "symmetric": False,
        "ranks": {"c": 3},
    }


def test_groups_stay_as_they_are_without_dropped_blocks() -> None:
    """Dropping nothing changes nothing."""
    assert groups_after(CHAIN) == CHAIN.channel_groups
