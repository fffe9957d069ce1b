"""The Gaussian process: against scikit-learn's, by finite differences, and on data with known noise."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy import optimize
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, DotProduct, Matern, WhiteKernel

from autoreg.engine.surrogate.gp import GaussianProcess, Kernel, fit_kernel


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
