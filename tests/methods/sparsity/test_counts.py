"""How many weights and channels stay."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoreg.errors import InputError
from autoreg.methods.sparsity.counts import retained_channels, retained_count, retained_nm

AMOUNTS = st.floats(0.0, 1.0, exclude_max=True)


@pytest.mark.parametrize(
    ("numel", "amount", "retained"),
    [(10, 0.0, 10), (10, 0.25, 7), (10, 0.24, 8), (10, 0.999, 1), (1, 0.9, 1), (7, 0.5, 3), (1000, 0.8, 200)],
)
def test_retained_count_rounds_what_goes_half_up(numel: int, amount: float, retained: int) -> None:
    assert retained_count(numel, amount) == retained


@given(st.integers(1, 10_000), AMOUNTS, AMOUNTS)
def test_retained_count_stays_in_bounds_and_falls_with_the_amount(numel: int, a: float, b: float) -> None:
    low, high = sorted((a, b))
    assert 1 <= retained_count(numel, high) <= retained_count(numel, low) <= numel
    assert retained_count(numel, low) == 1 or abs(retained_count(numel, low) - numel * (1 - low)) <= 0.5 + 1e-6


@given(st.integers(1, 100_000), st.data())
def test_retained_count_gives_back_a_level_that_was_made_from_a_count(numel: int, data: st.DataObject) -> None:
    """Global rules hand on their counts as shares: nothing may be lost on the way."""
    retained = data.draw(st.integers(1, numel))
    assert retained_count(numel, (numel - retained) / numel) == retained


@pytest.mark.parametrize("amount", [-0.1, 1.0, 1.5, float("nan"), "0.5"])
def test_amounts_outside_zero_to_one_are_refused(amount: float) -> None:
    with pytest.raises(InputError, match=r"amount = .*; allowed: from 0 to below 1"):
        retained_count(10, amount)


@pytest.mark.parametrize(
    ("shape", "n", "m", "retained"),
    [
        ((16, 8), 2, 4, 64),
        ((16, 8, 3, 3), 2, 4, 576),
        ((16, 4, 3, 3), 4, 8, None),  # 36 is no multiple of 8
        ((16, 1, 3, 3), 2, 4, None),  # 9 is no multiple of 4
        ((3, 8), 4, 8, 12),
        ((8,), 2, 4, None),
    ],
)
def test_retained_nm_by_hand(shape: tuple[int, ...], n: int, m: int, retained: int | None) -> None:
    assert retained_nm(shape, n, m) == retained


@pytest.mark.parametrize(
    ("channels", "amount", "round_to", "retained"),
    [
        (32, 0.0, 4, 32),
        (32, 0.05, 4, 32),  # 30.4 is nearer to 32 than to 28
        (32, 0.1, 4, 28),
        (32, 0.5, 8, 16),
        (32, 0.99, 8, 8),
        (10, 0.04, 4, 10),  # 9.6: all ten rather than eight
        (10, 0.15, 4, 8),
        (10, 0.1, 4, 10),  # 9 is as near to 8 as to 10: the larger
        (3, 0.9, 4, 3),
        (30, 0.5, 1, 15),
    ],
)
def test_retained_channels_is_the_nearest_multiple_or_all(
    channels: int, amount: float, round_to: int, retained: int
) -> None:
    assert retained_channels(channels, amount, round_to) == retained


def test_retained_channels_keeps_the_minimum() -> None:
    assert retained_channels(32, 0.99, 8, minimum=1) == 1
    assert retained_channels(32, 0.99, 1, minimum=5) == 5


@given(st.integers(1, 600), AMOUNTS, AMOUNTS, st.integers(1, 16))
def test_retained_channels_stays_in_bounds_and_falls_with_the_amount(
    channels: int, a: float, b: float, to: int
) -> None:
    low, high = sorted((a, b))
    many, few = retained_channels(channels, low, to), retained_channels(channels, high, to)
    assert min(channels, to) <= few <= many <= channels
    assert many == channels or many % to == 0
