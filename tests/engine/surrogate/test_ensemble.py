"""The base models together: on data with known answers."""

from __future__ import annotations

import math

import numpy as np
import pytest

from autoreg.engine.surrogate.ensemble import Ensemble, best_and_latest, fit_hyperparameters, quality_mixture
from autoreg.engine.surrogate.output_warping import HalfLog


def data(count: int, seed: int = 0, noise: float = 0.02) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Configs of six ranges, one of them inactive at times, their log cost, and an error."""
    rng = np.random.default_rng(seed)
    X = rng.random((count, 6))
    y = 0.2 + (X[:, 0] - 0.3) ** 2 + 0.3 * X[:, 1] + 0.1 * np.sin(6 * X[:, 2]) + rng.normal(0, noise, count)
    X[X[:, 4] < 0.3, 5] = np.nan
    return X, (3 * X[:, 1] - 2)[:, None], y


def test_base_models_predict_what_they_have_not_seen_and_how_well() -> None:
    """80 % intervals hold about as much of what was not seen, over eight sets of data."""
    errors: dict[str, list[float]] = {}
    held: dict[str, list[float]] = {}
    for seed in range(8):
        X, logs, y = data(140, seed)
        ensemble = Ensemble(fit_hyperparameters(X[:70], y[:70], logs[:70]), X[:70], y[:70], logs[:70])
        predictions = ensemble.predict(X[70:], logs[70:], baselines=True)
        scores = ensemble.hyperparameters.warp.forward(y[70:])
        assert set(predictions) == {"gp", "ridge", "trees", "cost_only", "mean_only"}
        for name, (mean, spread) in predictions.items():
            errors.setdefault(name, []).append(float(np.mean((scores - mean) ** 2)))
            held.setdefault(name, []).append(float(np.mean(np.abs(scores - mean) < 1.2816 * spread)))
            assert name in ("cost_only", "mean_only") or np.corrcoef(mean, scores)[0, 1] > 0.75, name
    for name, shares in held.items():
        assert 0.7 < np.mean(shares) < 0.9, name
    assert np.mean(errors["gp"]) < 0.25 * min(np.mean(errors["cost_only"]), np.mean(errors["mean_only"]))


def test_models_are_fitted_to_the_best_and_the_latest() -> None:
    scores = np.array([5.0, 1.0, 4.0, 2.0, 9.0, 8.0, 7.0])
    assert best_and_latest(scores, 4).tolist() == [1, 3, 5, 6]
    assert best_and_latest(scores, 7).tolist() == list(range(7))


def test_a_score_mapped_back_keeps_its_distribution() -> None:
    """In units of the quality, a mixture of eight has the mean and spread of draws within some percent."""
    y = np.random.default_rng(0).lognormal(size=60)
    warp = HalfLog(y)
    drawn = warp.inverse(-0.4 + 0.5 * np.random.default_rng(1).normal(size=200_000))
    means, spreads = quality_mixture([-0.4], [0.5], warp)
    mean = means.mean()
    assert mean == pytest.approx(drawn.mean(), rel=0.03)
    assert math.sqrt((spreads**2 + (means - mean) ** 2).mean()) == pytest.approx(drawn.std(), rel=0.15)
