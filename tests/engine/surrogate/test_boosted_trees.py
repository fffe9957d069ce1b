"""Predictors and the trust they must earn."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from scipy.stats import kendalltau, norm, spearmanr
from sklearn.utils.estimator_checks import check_estimator

from autoreg.engine.surrogate import validation
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


def test_the_null_model_is_a_monotone_function_of_cost() -> None:
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
    """Of eight trials the best two are sought; one of them is foretold to be, beside one that is not."""
    y = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0])
    foretold = np.array([1.0, 9.0, 2.0, 5.0, 6.0, 7.0, 8.0, 10.0])
    i, j = np.triu_indices(8, 1)
    assert validation.recall_of_best(y, foretold, i, j, top=1.5 / 7) == pytest.approx(0.5)
    assert validation.recall_of_best(y, y, i, j) == 1.0
    assert validation.recall_of_best(y, -y, i, j) == 0.0


def test_a_recall_by_chance_is_the_share_that_is_sought() -> None:
    rng = np.random.default_rng(0)
    i, j = validation.pairs_at_equal_cost(rng.random(400))
    found = [validation.recall_of_best(rng.random(400), rng.random(400), i, j) for _ in range(20)]
    assert np.mean(found) == pytest.approx(validation.BEST_FRACTION, abs=0.05)
