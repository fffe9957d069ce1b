"""A small Gaussian process: Matern 5/2 plus linear, a length scale for each column, learned noise, and priors on all.

scikit-learn's process has no priors on its parameters, without which twenty trials in forty columns overfit; this one
maximizes the posterior, with the gradient in closed form. At given parameters it equals scikit-learn's (tested).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_factor, cho_solve, solve_triangular
from scipy.optimize import minimize

from autoreg.engine.pareto.front import Floats

PRIORS = ((0.0, 0.7), (-0.7, 1.0), (-1.5, 1.5))
"""Mean and deviation of the logarithms of the Matern amplitude, the linear weight and the noise."""
LENGTHS = 0.8
"""Deviation of the logarithm of each length scale; its mean is that of the root of the number of columns."""
REACH = 4.0
"""Deviations from its mean that a parameter may reach."""


@dataclass(frozen=True)
class Kernel:
    """`k(x, x') = a^2 M(|x - x'|) + b^2 x x'`, columns divided by their length scales; noise beside it.

    Attributes:
        amplitude: Logarithm of a.
        linear: Logarithm of b.
        noise: Logarithm of the noise's standard deviation.
        lengths: Logarithms of the length scales [p].
    """

    amplitude: float
    linear: float
    noise: float
    lengths: Floats

    def covariance(self, left: Floats, right: Floats) -> Floats:
        """Covariance [n, m] of noiseless values."""
        left, right = left / np.exp(self.lengths), right / np.exp(self.lengths)
        inner = left @ right.T
        squares = (left * left).sum(axis=1)[:, None] + (right * right).sum(axis=1)[None, :] - 2 * inner
        r = np.sqrt(5 * np.maximum(squares, 0.0))
        return np.asarray(_matern(r, self.amplitude) + math.exp(2 * self.linear) * inner)

    def diagonal(self, points: Floats) -> Floats:
        """Variance [n] of noiseless values."""
        squares = ((points / np.exp(self.lengths)) ** 2).sum(axis=1)
        return np.asarray(math.exp(2 * self.amplitude) + math.exp(2 * self.linear) * squares)


def _matern(r: Floats, amplitude: float) -> Floats:
    return np.asarray(math.exp(2 * amplitude) * (1 + r + r * r / 3) * np.exp(-r))


def fit_kernel(X: Floats, y: Floats, start: Kernel | None = None, rounds: int = 60) -> Kernel:
    """Parameters that maximize the posterior, from points X [n, p] and centred targets y [n] of spread about 1.

    Args:
        X: Points; columns of comparable scale, centred.
        y: Targets.
        start: Where to begin; the mode of the priors by default.
        rounds: Most steps of the optimizer (L-BFGS).

    Reference: a length scale for each column with a log-normal prior whose median grows with the root of the
    dimension, Hvarfner et al., "Vanilla Bayesian optimization performs great in high dimensions", 2024, arXiv
    2402.02229; the numbers of the priors are our own, chosen on HPOLib.
    """
    count, columns = X.shape
    middle = np.concatenate([[m for m, _ in PRIORS], np.full(columns, 0.5 * math.log(max(columns, 1)))])
    width = np.concatenate([[w for _, w in PRIORS], np.full(columns, LENGTHS)])
    squares = ((X[:, None, :] - X[None, :, :]) ** 2).reshape(count * count, columns)
    inner = (X[:, None, :] * X[None, :, :]).reshape(count * count, columns)

    def loss(p: Floats) -> tuple[float, Floats]:
        inverse_squares = np.exp(-2 * p[3:])
        r = np.sqrt(5 * (squares @ inverse_squares).reshape(count, count))
        matern = _matern(r, p[0])
        straight = math.exp(2 * p[1]) * (inner @ inverse_squares).reshape(count, count)
        covariance = matern + straight
        covariance[np.diag_indices(count)] += math.exp(2 * p[2]) + 1e-8
        try:
            factor = cho_factor(covariance, lower=True)
        except np.linalg.LinAlgError:
            return 1e10, np.zeros_like(p)
        weight = cho_solve(factor, y)
        outer = np.outer(weight, weight) - cho_solve(factor, np.eye(count))
        fit = 0.5 * y @ weight + np.log(np.diag(factor[0])).sum()
        slope = -math.exp(2 * p[0]) * (5 / 6) * (1 + r) * np.exp(-r)  # of the Matern part by the squared distance
        by_length = (outer * slope).ravel() @ squares + math.exp(2 * p[1]) * (outer.ravel() @ inner)
        gradient = np.empty_like(p)
        gradient[:3] = (outer * matern).sum(), (outer * straight).sum(), math.exp(2 * p[2]) * np.trace(outer)
        gradient[3:] = -by_length * inverse_squares
        off = (p - middle) / width
        return float(fit + 0.5 * off @ off), off / width - gradient

    first = middle if start is None else np.concatenate([[start.amplitude, start.linear, start.noise], start.lengths])
    bounds = list(zip(middle - REACH * width, middle + REACH * width, strict=True))
    found = minimize(loss, first, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": rounds}).x
    return Kernel(float(found[0]), float(found[1]), float(found[2]), found[3:])


class GaussianProcess:
    """The posterior at fixed parameters: targets y [n] at points X [n, p]."""

    def __init__(self, kernel: Kernel, X: Floats, y: Floats) -> None:
        self.kernel, self.points = kernel, X
        self.center = float(y.mean())
        covariance = kernel.covariance(X, X)
        covariance[np.diag_indices(len(X))] += math.exp(2 * kernel.noise) + 1e-8
        self._lower = np.linalg.cholesky(covariance)
        self._weight = cho_solve((self._lower, True), y - self.center)

    def predict(self, X: Floats) -> tuple[Floats, Floats]:
        """Mean [n] and variance [n] of noiseless values; add `noise` for the variance of what will be observed."""
        between = self.kernel.covariance(X, self.points)
        half = solve_triangular(self._lower, between.T, lower=True)
        variance = self.kernel.diagonal(X) - np.einsum("ij,ij->j", half, half)
        return self.center + between @ self._weight, np.maximum(variance, 1e-10)

    @property
    def noise(self) -> float:
        """Variance of the noise."""
        return math.exp(2 * self.kernel.noise)
