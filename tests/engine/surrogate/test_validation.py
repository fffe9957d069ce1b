"""How well trials were predicted: ranks at equal cost and finding the best, by hand and against known laws."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kendalltau

from autoreg.engine.surrogate import validation


def test_pairs_at_equal_cost_are_near_in_cost() -> None:
    cost = np.array([10.0, 0.0, 5.0, 1.0, 20.0, 2.0, 3.0])
    i, j = validation.pairs_at_equal_cost(cost, 0.2)
    pairs = {frozenset((cost[a], cost[b])) for a, b in zip(i, j, strict=True)}
    assert frozenset((0.0, 2.0)) in pairs
    assert frozenset((0.0, 3.0)) not in pairs
    assert len(pairs) == 6 + 5


def test_concordance_over_all_pairs_is_kendalls_tau() -> None:
    rng = np.random.default_rng(0)
    y, p = rng.random(30), rng.random(30)
    i, j = np.triu_indices(30, 1)
    assert validation.concordance(y, p, i, j).mean() == pytest.approx(kendalltau(y, p).statistic)


def test_the_jackknife_of_tau_has_the_known_size() -> None:
    """Of independent rankings, tau has variance 2(2n+5) / 9n(n-1) (Kendall 1938)."""
    rng = np.random.default_rng(0)
    n = 40
    i, j = np.triu_indices(n, 1)
    found = [
        validation.jackknife(validation.concordance(rng.random(n), rng.random(n), i, j), i, j, n) for _ in range(60)
    ]
    assert np.mean(found) == pytest.approx(np.sqrt(2 * (2 * n + 5) / (9 * n * (n - 1))), rel=0.15)


def test_recall_of_the_best_by_hand() -> None:
    """Of eight trials the best two are sought; one of them is predicted to be, beside one that is not."""
    y = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0])
    predicted = np.array([1.0, 9.0, 2.0, 5.0, 6.0, 7.0, 8.0, 10.0])
    i, j = np.triu_indices(8, 1)
    assert validation.recall_of_best(y, predicted, i, j, top=1.5 / 7) == pytest.approx(0.5)
    assert validation.recall_of_best(y, y, i, j) == 1.0
    assert validation.recall_of_best(y, -y, i, j) == 0.0


def test_a_recall_by_chance_is_the_fraction_that_is_sought() -> None:
    rng = np.random.default_rng(0)
    i, j = validation.pairs_at_equal_cost(rng.random(400))
    found = [validation.recall_of_best(rng.random(400), rng.random(400), i, j) for _ in range(20)]
    assert np.mean(found) == pytest.approx(validation.BEST_FRACTION, abs=0.05)
