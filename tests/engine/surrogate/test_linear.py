"""Bayesian linear regression: against the closed form at its own ratio of variances."""

from __future__ import annotations

import numpy as np
import pytest

from autoreg.engine.surrogate.linear import BayesianRidge


def test_mean_and_spread_are_those_of_ridge_regression() -> None:
    """With more columns than trials; the directions that no trial shows keep the variance of the prior."""
    rng = np.random.default_rng(0)
    X, at = rng.normal(size=(12, 20)), rng.normal(size=(5, 20))
    y = X[:, 0] - 2 * X[:, 1] + 0.1 * rng.normal(size=12)
    model = BayesianRidge(X, y)
    centred, off = X - X.mean(axis=0), at - X.mean(axis=0)
    precision = centred.T @ centred + model._ratio * np.eye(20)
    mean, spread = model.predict(at)
    assert mean == pytest.approx(y.mean() + off @ np.linalg.solve(precision, centred.T @ (y - y.mean())))
    of_weight = np.einsum("ij,ji->i", off, np.linalg.solve(precision, off.T)) + 1 / 12
    assert spread == pytest.approx(np.sqrt(model._noise * (1 + of_weight)))


def test_the_noise_is_found_where_there_is_enough_to_see_it() -> None:
    rng = np.random.default_rng(1)
    X = rng.normal(size=(400, 5))
    model = BayesianRidge(X, X @ np.array([1.0, -1.0, 0.5, 0.0, 2.0]) + 0.3 * rng.normal(size=400))
    assert np.sqrt(model._noise) == pytest.approx(0.3, rel=0.1)


def test_a_decomposition_that_does_not_converge_is_made_in_another_way(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(2)
    X, y, at = rng.normal(size=(30, 8)), rng.normal(size=30), rng.normal(size=(5, 8))
    expected = BayesianRidge(X, y).predict(at)

    def diverges(*_: object, **__: object) -> None:
        raise np.linalg.LinAlgError("SVD did not converge")

    monkeypatch.setattr(np.linalg, "svd", diverges)
    for got, known in zip(BayesianRidge(X, y).predict(at), expected, strict=True):
        assert got == pytest.approx(known)
