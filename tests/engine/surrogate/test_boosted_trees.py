"""Boosted trees and the cost-only baseline, as scikit-learn estimators."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from scipy.stats import norm, spearmanr
from sklearn.utils.estimator_checks import check_estimator

from autoreg.engine.surrogate.boosted_trees import BoostedTrees, CostOnlyBaseline, RankGaussian


def table(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Configs with a gap, the logarithm of their cost, and an error in which config matters at equal cost."""
    rng = np.random.default_rng(seed)
    X = rng.random((count, 5))
    X[X[:, 1] < 0.4, 2] = np.nan  # the third parameter is active where the second is large
    cost = 4 * X[:, 0]
    y = 0.5 - 0.1 * cost + (X[:, 3] - 0.6) ** 2 + np.where(np.isnan(X[:, 2]), 0.3, 0.4 * np.nan_to_num(X[:, 2]))
    return X, cost, y + rng.normal(0, 0.01, count)


def test_normal_scores_by_hand() -> None:
    """Ranks 1 to 4 of 4 become the normal quantiles at 1/8, 3/8, 5/8, 7/8; ties share a score."""
    warp = RankGaussian([3.0, 1.0, 100.0, 2.0])
    assert warp.forward([1, 2, 3, 100]) == pytest.approx(norm.ppf([0.125, 0.375, 0.625, 0.875]))
    assert warp.inverse(warp.forward([1, 2, 3, 100])) == pytest.approx([1, 2, 3, 100])
    assert warp.inverse([-9, 9]) == pytest.approx([1, 100])
    assert RankGaussian([1.0, 5.0, 5.0, 9.0]).forward([5.0]) == pytest.approx([0.0])


def test_trees_rank_configs_they_have_not_seen() -> None:
    X, _, y = table(160)
    model = BoostedTrees().fit(X[:120], y[:120])
    assert spearmanr(model.predict(X[120:]), y[120:]).statistic > 0.75
    assert np.all((model.predict(X) >= y[:120].min()) & (model.predict(X) <= y[:120].max()))


def test_predictors_repeat_themselves() -> None:
    X, _, y = table(40)
    assert np.array_equal(BoostedTrees(seed=3).fit(X, y).predict(X), BoostedTrees(seed=3).fit(X, y).predict(X))
    assert not np.array_equal(BoostedTrees(seed=3).fit(X, y).predict(X), BoostedTrees(seed=4).fit(X, y).predict(X))


def test_a_monotone_change_of_the_target_changes_no_rank() -> None:
    X, _, y = table(50)
    plain, warped = BoostedTrees().fit(X, y).predict(X), BoostedTrees().fit(X, np.exp(3 * y)).predict(X)
    assert np.argsort(plain).tolist() == np.argsort(warped).tolist()


def test_the_cost_only_baseline_is_a_monotone_function_of_cost() -> None:
    rng = np.random.default_rng(0)
    cost = np.sort(rng.random(60))
    falling = CostOnlyBaseline().fit(cost[:, None], 1 - cost + rng.normal(0, 0.1, 60)).predict(cost[:, None])
    rising = CostOnlyBaseline().fit(cost[:, None], cost + rng.normal(0, 0.1, 60)).predict(cost[:, None])
    assert np.all(np.diff(falling) <= 0)
    assert np.all(np.diff(rising) >= 0)
    assert falling[0] > falling[-1]


@pytest.mark.parametrize("estimator", [BoostedTrees(rounds=60), CostOnlyBaseline()])
def test_predictors_are_scikit_learn_estimators(estimator: object) -> None:
    """All of scikit-learn's own checks of a regressor that allows NaN."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the checks warn of tests they skip
        check_estimator(estimator)
