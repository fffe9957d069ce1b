"""Predictors and the trust they must earn."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from scipy.stats import kendalltau, norm, spearmanr
from sklearn.utils.estimator_checks import check_estimator

from autoreg.search import trust
from autoreg.search.predictor import BoostPredictor, CostNull, MeanPredictor, RankGaussian, RidgePredictor, masked


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
    assert warp.back(warp.forward([1, 2, 3, 100])) == pytest.approx([1, 2, 3, 100])
    assert warp.back([-9, 9]) == pytest.approx([1, 100])
    assert RankGaussian([1.0, 5.0, 5.0, 9.0]).forward([5.0]) == pytest.approx([0.0])


def test_gaps_become_zero_with_an_indicator() -> None:
    X = np.array([[1.0, np.nan], [2.0, 3.0]])
    assert masked(X, np.array([False, True])).tolist() == [[1.0, 0.0, 0.0], [2.0, 3.0, 1.0]]


@pytest.mark.parametrize("make", [RidgePredictor, BoostPredictor, MeanPredictor])
def test_predictors_rank_configs_they_have_not_seen(make: type) -> None:
    X, _, y = table(160)
    model = make().fit(X[:120], y[:120])
    assert spearmanr(model.predict(X[120:]), y[120:]).statistic > 0.75
    assert np.all((model.predict(X) >= y[:120].min()) & (model.predict(X) <= y[:120].max()))


def test_predictors_repeat_themselves() -> None:
    X, _, y = table(40)
    assert np.array_equal(MeanPredictor(seed=3).fit(X, y).predict(X), MeanPredictor(seed=3).fit(X, y).predict(X))
    assert not np.array_equal(BoostPredictor(seed=3).fit(X, y).predict(X), BoostPredictor(seed=4).fit(X, y).predict(X))


def test_a_monotone_change_of_the_target_changes_no_rank() -> None:
    X, _, y = table(50)
    plain, warped = MeanPredictor().fit(X, y).predict(X), MeanPredictor().fit(X, np.exp(3 * y)).predict(X)
    assert np.argsort(plain).tolist() == np.argsort(warped).tolist()


def test_the_null_model_is_a_monotone_function_of_cost() -> None:
    rng = np.random.default_rng(0)
    cost = np.sort(rng.random(60))
    falling = CostNull().fit(cost[:, None], 1 - cost + rng.normal(0, 0.1, 60)).predict(cost[:, None])
    rising = CostNull().fit(cost[:, None], cost + rng.normal(0, 0.1, 60)).predict(cost[:, None])
    assert np.all(np.diff(falling) <= 0)
    assert np.all(np.diff(rising) >= 0)
    assert falling[0] > falling[-1]


@pytest.mark.parametrize(
    "estimator", [RidgePredictor(), BoostPredictor(rounds=60), MeanPredictor(rounds=60), CostNull()]
)
def test_predictors_are_scikit_learn_estimators(estimator: object) -> None:
    """All of scikit-learn's own checks of a regressor that allows NaN."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the checks warn of tests they skip
        check_estimator(estimator)


def test_pairs_at_equal_cost_are_near_in_cost() -> None:
    cost = np.array([10.0, 0.0, 5.0, 1.0, 20.0, 2.0, 3.0])
    i, j = trust.pairs_at_equal_cost(cost, 0.2)
    pairs = {frozenset((cost[a], cost[b])) for a, b in zip(i, j, strict=True)}
    assert frozenset((0.0, 2.0)) in pairs
    assert frozenset((0.0, 3.0)) not in pairs
    assert len(pairs) == 6 + 5


def test_concordance_over_all_pairs_is_kendalls_tau() -> None:
    rng = np.random.default_rng(0)
    y, p = rng.random(30), rng.random(30)
    i, j = np.triu_indices(30, 1)
    assert trust.concordance(y, p, i, j).mean() == pytest.approx(kendalltau(y, p).statistic)


def test_the_jackknife_of_tau_has_the_known_size() -> None:
    """Of independent rankings, tau has variance 2(2n+5) / 9n(n-1) (Kendall 1938)."""
    rng = np.random.default_rng(0)
    n = 40
    i, j = np.triu_indices(n, 1)
    found = [trust.jackknife(trust.concordance(rng.random(n), rng.random(n), i, j), i, j, n) for _ in range(60)]
    assert np.mean(found) == pytest.approx(np.sqrt(2 * (2 * n + 5) / (9 * n * (n - 1))), rel=0.15)


def test_folds_are_even_and_keep_groups_together() -> None:
    fold = trust.folds(23, 5, seed=1)
    assert sorted(np.bincount(fold)) == [4, 4, 5, 5, 5]
    groups = np.repeat(np.arange(8), 3)
    fold = trust.folds(24, 4, seed=1, groups=groups)
    assert all(len(set(fold[groups == g])) == 1 for g in range(8))
    assert len(set(fold)) == 4


def test_a_predictor_that_knows_more_than_cost_is_trusted() -> None:
    X, cost, y = table(60)
    judged = trust.judge(X, y, cost[:, None])
    assert judged.quality.trusted
    assert judged.quality.tau > 0.4 > judged.quality.tau_null
    assert 0.6 <= judged.quality.coverage <= 0.95


def test_a_predictor_that_knows_cost_alone_is_not_trusted() -> None:
    """Error is cost and noise: whatever the predictor learns, the null model knows."""
    trusted = 0
    for seed in range(10):
        X, cost, _ = table(60, seed)
        y = 1 - 0.2 * cost + np.random.default_rng(seed).normal(0, 0.1, 60)
        trusted += trust.judge(X, y, cost[:, None], make=RidgePredictor).quality.trusted
    assert trusted <= 1


def test_shuffled_labels_are_not_trusted() -> None:
    """About one in twenty is let through by chance, at a lead of 1.64 standard errors."""
    trusted = 0
    for seed in range(40):
        X, cost, y = table(40, seed)
        np.random.default_rng(seed).shuffle(y)
        trusted += trust.judge(X, y, cost[:, None], make=RidgePredictor).quality.trusted
    assert trusted <= 5


def test_few_trials_are_not_judged() -> None:
    X, cost, y = table(19)
    quality = trust.judge(X, y, cost[:, None]).quality
    assert (quality.trusted, quality.reason) == (False, "19 of at least 20 trials")


def test_leakage_between_twins_is_seen_through_groups() -> None:
    """Twins share noise: split apart they flatter the predictor, held out together they do not."""
    rng = np.random.default_rng(0)
    X = np.repeat(rng.random((20, 4)), 3, axis=0) + rng.normal(0, 1e-3, (60, 4))
    y = np.repeat(rng.random(20), 3)
    groups = np.repeat(np.arange(20), 3)
    cost = rng.random((60, 1))
    make = BoostPredictor
    assert trust.judge(X, y, cost, make=make).quality.tau > 0.5
    assert abs(trust.judge(X, y, cost, make=make, groups=groups).quality.tau) < 0.3


def test_quantiles_are_ordered_and_cover() -> None:
    X, cost, y = table(220)
    judged = trust.judge(X[:120], y[:120], cost[:120, None])
    quantiles = judged.quantiles(X[120:], (0.1, 0.5, 0.9))
    assert np.all(np.diff(quantiles, axis=1) >= 0)
    inside = (y[120:] >= quantiles[:, 0]) & (y[120:] <= quantiles[:, 2])
    assert 0.65 <= inside.mean() <= 0.95
