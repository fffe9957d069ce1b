"""Warp, Gaussian process, experts and their weights: against scikit-learn, by hand, and on data with known answers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy import optimize
from scipy.stats import norm
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, DotProduct, Matern, WhiteKernel

from autoreg.engine.surrogate.ensemble import Ensemble, best_and_latest, fit_hyperparameters, quality_mixture
from autoreg.engine.surrogate.features import FeatureMap
from autoreg.engine.surrogate.gp import GaussianProcess, Kernel, fit_kernel
from autoreg.engine.surrogate.output_warping import HalfRank
from autoreg.engine.surrogate.weighting import LogScoreWeights, log_score, mixture_moments


def data(count: int, seed: int = 0, noise: float = 0.02) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Configs of six ranges, one of them inactive at times, their log cost, and an error."""
    rng = np.random.default_rng(seed)
    X = rng.random((count, 6))
    y = 0.2 + (X[:, 0] - 0.3) ** 2 + 0.3 * X[:, 1] + 0.1 * np.sin(6 * X[:, 2]) + rng.normal(0, noise, count)
    X[X[:, 4] < 0.3, 5] = np.nan
    return X, (3 * X[:, 1] - 2)[:, None], y


# -- the target ---------------------------------------------------------------------------------


def test_the_warp_is_undone_and_rises() -> None:
    y = np.random.default_rng(0).lognormal(size=41)
    warp = HalfRank(y)
    assert warp.inverse(warp.forward(y)) == pytest.approx(y)
    assert np.all(np.diff(warp.forward(np.sort(y))) > 0)
    assert warp.forward([np.median(y)])[0] == pytest.approx(0)


def test_the_warp_can_go_beyond_the_best_and_not_beyond_the_worst() -> None:
    """Median 3, better half off by 2, 1 and 0, root mean square sqrt(5 / 3); an outlier counts as the worst rank."""
    warp = HalfRank([1.0, 2.0, 3.0, 4.0, 1e9])
    assert warp.forward([1.0, 3.0]) == pytest.approx([-2 / math.sqrt(5 / 3), 0.0])
    assert warp.inverse([-5.0])[0] == pytest.approx(3 - 5 * math.sqrt(5 / 3))
    assert warp.inverse([50.0])[0] == 1e9
    ranks = HalfRank([1.0, 2.0, 3.0, 4.0, 5.0])
    assert warp.forward([1e9])[0] == pytest.approx(ranks.forward([5.0])[0])


@pytest.mark.parametrize("values", [[0.5] * 9, [0.1, 0.1, 0.1, 0.1, 0.9], [1.0], [-3.0, -2.0, 0.0]])
def test_the_warp_takes_ties_and_negative_values(values: list[float]) -> None:
    warp = HalfRank(values)
    assert np.all(np.isfinite(warp.forward(values)))
    assert np.all(np.isfinite(warp.inverse(np.linspace(-5, 5, 11))))


# -- the process --------------------------------------------------------------------------------


def test_the_process_equals_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    X, y, at = rng.normal(size=(30, 4)), rng.normal(size=30), rng.normal(size=(7, 4))
    lengths = np.array([0.7, -0.2, 1.1, 0.0])
    kernel = Kernel(0.2, -0.3, -1.0, lengths)
    theirs = (
        ConstantKernel(math.exp(0.4)) * Matern(1.0, nu=2.5)
        + ConstantKernel(math.exp(-0.6)) * DotProduct(1e-6)
        + WhiteKernel(math.exp(-2.0))
    )
    model = GaussianProcessRegressor(theirs, alpha=1e-8, optimizer=None).fit(X / np.exp(lengths), y - y.mean())
    mean, spread = model.predict(at / np.exp(lengths), return_std=True)
    process = GaussianProcess(kernel, X, y)
    got, variance = process.predict(at)
    assert got == pytest.approx(mean + y.mean(), abs=1e-8)
    assert np.sqrt(variance + process.noise_variance) == pytest.approx(spread, abs=1e-7)


def test_the_gradient_of_the_posterior_is_right(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    X, y = rng.normal(size=(20, 3)), rng.normal(size=20)
    caught: dict[str, Any] = {}

    def spy(fun: object, x0: np.ndarray, **_: object) -> object:
        caught["fun"], caught["x0"] = fun, x0
        return type("Found", (), {"x": x0})()

    monkeypatch.setattr(optimize, "minimize", spy)
    fit_kernel(X, y)
    point = caught["x0"] + np.array([0.1, -0.2, 0.3, 0.2, -0.4, 0.5])
    slope = optimize.approx_fprime(point, lambda p: caught["fun"](p)[0], 1e-6)
    assert caught["fun"](point)[1] == pytest.approx(slope, rel=1e-3, abs=1e-3)


def test_the_process_learns_how_much_is_noise() -> None:
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, (80, 5))
    smooth = np.sin(3 * X[:, 0]) + X[:, 1]
    quiet = fit_kernel(X, (smooth - smooth.mean()) / smooth.std())
    noisy = fit_kernel(X, rng.normal(size=80))
    assert math.exp(quiet.noise) < 0.15
    assert math.exp(noisy.noise) > 0.6


# -- the ensemble ----------------------------------------------------------------------------------


def test_inactive_parameters_stand_at_their_centre_beside_an_indicator() -> None:
    features = FeatureMap.of(np.array([[0.0, 0.2], [1.0, np.nan], [1.0, 0.4]]))
    assert features(np.array([[1.0, np.nan]])) == pytest.approx(np.array([[1 / 3, 0.0, 0.5]]))


def test_experts_foretell_what_they_have_not_seen_and_know_how_well() -> None:
    X, logs, y = data(140)
    ensemble = Ensemble(fit_hyperparameters(X[:70], y[:70], logs[:70]), X[:70], y[:70], logs[:70])
    foretold = ensemble.predict(X[70:], logs[70:], baselines=True)
    came = ensemble.hyperparameters.warp.forward(y[70:])
    assert set(foretold) == {"gp", "ridge", "trees", "cost_only", "mean_only"}
    for name in ("gp", "ridge", "trees"):
        mean, spread = foretold[name]
        assert np.corrcoef(mean, came)[0, 1] > 0.8, name
        assert 0.6 < np.mean(np.abs(came - mean) < 1.2816 * spread) < 0.98, name
    error = {n: np.mean((came - m) ** 2) for n, (m, _) in foretold.items()}
    assert error["gp"] < 0.5 * min(error["cost_only"], error["mean_only"])


def test_a_process_holds_the_best_and_the_latest() -> None:
    scores = np.array([5.0, 1.0, 4.0, 2.0, 9.0, 8.0, 7.0])
    assert best_and_latest(scores, 4).tolist() == [1, 3, 5, 6]
    assert best_and_latest(scores, 7).tolist() == list(range(7))


def test_disagreement_adds_to_the_variance() -> None:
    """By hand: means 0 and 2, spreads 1, equal weights: variance 1 + 1."""
    mean, spread = mixture_moments(
        {"a": (np.zeros(1), np.ones(1)), "b": (np.full(1, 2.0), np.ones(1))}, {"a": 0.5, "b": 0.5}
    )
    assert (mean[0], spread[0]) == pytest.approx((1.0, math.sqrt(2)))


def test_who_foretells_better_gains_weight_and_the_lead_is_over_the_better_null() -> None:
    rng, board = np.random.default_rng(0), LogScoreWeights()
    for k in range(40):
        truth = rng.normal()
        told = {"gp": [truth, 0.3], "ridge": [0.0, 1.0], "cost_only": [-1.0, 1.0], "mean_only": [0.0, 1.0]}
        board.update(told, truth + 0.3 * rng.normal(), f"g{k}", 0.0)
    assert board.weights()["gp"] > 0.95
    lead, error, rival = board.lead()
    assert rival == "mean_only"
    assert lead > 5 * error > 0


def test_twins_of_one_group_do_not_make_the_lead_more_certain() -> None:
    """Each trial told four times: the error of the lead stays about that of the trials told once."""
    errors = []
    for copies in (1, 4):
        rng, board = np.random.default_rng(3), LogScoreWeights()
        for k in range(30):
            truth, off = rng.normal(), rng.normal()
            for _ in range(copies):
                told = {"gp": [truth + off, 1.0], "cost_only": [0.0, 1.0], "mean_only": [0.0, 1.0]}
                board.update(told, truth, f"g{k}", 0.0)
        errors.append(board.lead()[1])
    assert errors[1] == pytest.approx(errors[0], rel=0.1)


def test_the_log_score_is_the_normal_log_density() -> None:
    assert log_score(0.3, 2.0, 1.1) == pytest.approx(norm.logpdf(1.1, 0.3, 2.0))


def test_a_score_spread_out_keeps_its_distribution() -> None:
    """Carried to units of the quality, a mixture of eight has the mean and spread of draws within some percent."""
    y = np.random.default_rng(0).lognormal(size=60)
    warp = HalfRank(y)
    drawn = warp.inverse(-0.4 + 0.5 * np.random.default_rng(1).normal(size=200_000))
    means, spreads = quality_mixture([-0.4], [0.5], warp)
    mean = means.mean()
    assert mean == pytest.approx(drawn.mean(), rel=0.03)
    assert math.sqrt((spreads**2 + (means - mean) ** 2).mean()) == pytest.approx(drawn.std(), rel=0.15)
