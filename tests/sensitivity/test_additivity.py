"""Correlation of summed with joint distortions, and random assignments at one budget."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoreg.errors import InputError
from autoreg.sensitivity import Additivity, additivity, within_budget


def test_a_power_law_is_perfect_in_ranks_and_logarithms() -> None:
    summed = np.exp(np.random.default_rng(0).normal(size=20))
    found = additivity(summed, 3 * summed**0.5)
    assert found.spearman == pytest.approx(1)
    assert found.pearson == pytest.approx(1)
    assert found.trusted
    assert additivity(summed, 2 * summed).ratio == pytest.approx(2)


def test_what_runs_against_the_sum_or_says_nothing_is_not_trusted() -> None:
    summed = np.exp(np.random.default_rng(0).normal(size=20))
    assert additivity(summed, 1 / summed).spearman == pytest.approx(-1)
    assert not additivity(summed, 1 / summed).trusted
    assert additivity(summed, np.ones(20)) == Additivity(0.0, 0.0, float(np.median(1 / summed)), 20)


def test_few_assignments_are_not_enough_for_trust() -> None:
    assert not additivity([1, 2, 3], [1, 2, 3]).trusted
    assert additivity([1, 2, 3], [1, 2, 3]).to_dict()["trusted"] is False
    with pytest.raises(InputError, match="at least 3 positive"):
        additivity([1, 2], [1, 2])
    with pytest.raises(InputError, match="at least 3 positive"):
        additivity([1, 2, 3], [1, 0, 3])


@settings(deadline=None)
@given(
    st.lists(st.lists(st.integers(1, 50), min_size=1, max_size=5), min_size=1, max_size=6),
    st.floats(0, 1),
    st.integers(0, 99),
)
def test_random_assignments_hold_the_budget_and_spend_it(costs: list[list[int]], share: float, seed: int) -> None:
    least, most = sum(map(min, costs)), sum(map(max, costs))
    budget = least + int(share * (most - least))
    levels = within_budget(costs, budget, np.random.default_rng(seed))
    left = budget - sum(row[k] for row, k in zip(costs, levels, strict=True))
    assert left >= 0
    for row, level in zip(costs, levels, strict=True):
        dearer = [cost for cost in row if cost > row[level]]
        assert not dearer or min(dearer) - row[level] > left
    with pytest.raises(InputError, match="allows no assignment"):
        within_budget(costs, least - 1, np.random.default_rng(seed))


def test_random_assignments_differ() -> None:
    costs = [[1, 2, 3, 4]] * 10
    rng = np.random.default_rng(0)
    assert len({within_budget(costs, 25, rng) for _ in range(20)}) > 15
