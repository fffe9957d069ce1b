"""A small Gaussian process: Matern 5/2 plus linear, a length scale for each column, learned noise, and priors on all.

scikit-learn's process has no priors on its parameters, without which twenty trials in forty columns overfit; this one
maximizes the posterior, with the gradient in closed form. At given parameters it equals scikit-learn's (tested).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from autoreg.engine.pareto.front import Floats
from autoreg.lazy import lazy_module

if TYPE_CHECKING:
    from scipy import linalg, optimize
else:
    linalg, optimize = lazy_module("scipy.linalg"), lazy_module("scipy.optimize")

HYPERPRIORS = ((0.0, 0.7), (-0.7, 1.0), (-1.5, 1.5))
"""Mean and deviation of the logarithms of the Matern amplitude, the linear weight and the noise; chosen on HPOLib."""
LENGTH_SCALE_PRIOR_STD = 0.8
"""Deviation of the logarithm of each length scale; its mean is that of the root of the number of columns."""
MAX_PRIOR_DEVIATIONS = 4.0
"""How far from its prior's mean a parameter may move, in deviations of that prior: the bounds of the optimizer."""
JITTER = 1e-8
"""Variance added to the diagonal, so that equal points leave the covariance positive definite."""


@dataclass(frozen=True)
class Kernel:
    """`k(x, x') = a^2 M(|x - x'|) + b^2 x x'`, columns divided by their length scales; noise beside it.

    Attributes:
        amplitude: Logarithm of a.
        linear: Logarithm of b.
        noise: Logarithm of the noise's standard deviation.
        length_scales: Their logarithms [p].
    """

    amplitude: float
    linear: float
    noise: float
    length_scales: Floats

    def covariance(self, left: Floats, right: Floats) -> Floats:
        """Covariance [n, m] of noiseless values."""
        left, right = left / np.exp(self.length_scales), right / np.exp(self.length_scales)
        inner = left @ right.T
        squares = (left * left).sum(axis=1)[:, None] + (right * right).sum(axis=1)[None, :] - 2 * inner
        r = np.sqrt(5 * np.maximum(squares, 0.0))
        return np.asarray(_matern(r, self.amplitude) + math.exp(2 * self.linear) * inner)

    def diagonal(self, points: Floats) -> Floats:
        """Prior variance [n] of noiseless values."""
        squares = ((points / np.exp(self.length_scales)) ** 2).sum(axis=1)
        return np.asarray(math.exp(2 * self.amplitude) + math.exp(2 * self.linear) * squares)


def _matern(r: Floats, amplitude: float) -> Floats:
    return np.asarray(math.exp(2 * amplitude) * (1 + r + r * r / 3) * np.exp(-r))


def fit_kernel(X: Floats, y: Floats, max_iterations: int = 60) -> Kernel:
    """Hyper-parameters that maximize the posterior (MAP, type II).

    Args:
        X: Points [n, p]; columns of comparable scale, centred.
        y: Targets [n], centred, of spread about 1.
        max_iterations: Of the optimizer (L-BFGS).

    Reference: a length scale for each column with a log-normal prior whose median grows with the root of the
    dimension, Hvarfner et al., "Vanilla Bayesian optimization performs great in high dimensions", 2024, arXiv
    2402.02229; the numbers of the priors are our own, chosen on HPOLib.
    """
    count, columns = X.shape
    prior_mean = np.concatenate([[m for m, _ in HYPERPRIORS], np.full(columns, 0.5 * math.log(max(columns, 1)))])
    prior_std = np.concatenate([[w for _, w in HYPERPRIORS], np.full(columns, LENGTH_SCALE_PRIOR_STD)])
    squares = ((X[:, None, :] - X[None, :, :]) ** 2).reshape(count * count, columns)
    inner = (X[:, None, :] * X[None, :, :]).reshape(count * count, columns)

    def loss(p: Floats) -> tuple[float, Floats]:
        inverse_squares = np.exp(-2 * p[3:])
        r = np.sqrt(5 * (squares @ inverse_squares).reshape(count, count))
        matern = _matern(r, p[0])
        linear = math.exp(2 * p[1]) * (inner @ inverse_squares).reshape(count, count)
        covariance = matern + linear
        covariance[np.diag_indices(count)] += math.exp(2 * p[2]) + JITTER
        try:
            factor = linalg.cho_factor(covariance, lower=True)
        except np.linalg.LinAlgError:
            return 1e10, np.zeros_like(p)
        weight = linalg.cho_solve(factor, y)
        outer = np.outer(weight, weight) - linalg.cho_solve(factor, np.eye(count))
        fit = 0.5 * y @ weight + np.log(np.diag(factor[0])).sum()
        slope = -math.exp(2 * p[0]) * (5 / 6) * (1 + r) * np.exp(-r)  # of the Matern part by the squared distance
        by_length_scale = (outer * slope).ravel() @ squares + math.exp(2 * p[1]) * (outer.ravel() @ inner)
        gradient = np.empty_like(p)
        gradient[:3] = (outer * matern).sum(), (outer * linear).sum(), math.exp(2 * p[2]) * np.trace(outer)
        gradient[3:] = -by_length_scale * inverse_squares
        deviation = (p - prior_mean) / prior_std
        return float(fit + 0.5 * deviation @ deviation), deviation / prior_std - gradient

    bounds = list(
        zip(prior_mean - MAX_PRIOR_DEVIATIONS * prior_std, prior_mean + MAX_PRIOR_DEVIATIONS * prior_std, strict=True)
    )
    found = optimize.minimize(
        loss, prior_mean, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": max_iterations}
    ).x
    return Kernel(float(found[0]), float(found[1]), float(found[2]), found[3:])


class GaussianProcess:
    """The posterior at fixed hyper-parameters.

    Args:
        kernel: Its hyper-parameters.
        X: Points [n, p].
        y: Targets [n].
    """

    def __init__(self, kernel: Kernel, X: Floats, y: Floats) -> None:
        self.kernel, self.points = kernel, X
        self.center = float(y.mean())
        covariance = kernel.covariance(X, X)
        covariance[np.diag_indices(len(X))] += math.exp(2 * kernel.noise) + JITTER
        self._lower = np.linalg.cholesky(covariance)
        self._weight = linalg.cho_solve((self._lower, True), y - self.center)

    def left_out_errors(self) -> Floats:
        """Targets less what the others predict of each, at the same hyper-parameters and mean [n].

        Reference: Rasmussen and Williams, Gaussian Processes for Machine Learning, 2006, equation 5.12.
        """
        inverse = linalg.cho_solve((self._lower, True), np.eye(len(self.points)))
        return np.asarray(self._weight / np.diag(inverse))

    def predict(self, X: Floats) -> tuple[Floats, Floats]:
        """Mean [n] and variance [n] of noiseless values; add `noise_variance` for that of what will be observed."""
        between = self.kernel.covariance(X, self.points)
        half = linalg.solve_triangular(self._lower, between.T, lower=True)
        variance = self.kernel.diagonal(X) - np.einsum("ij,ij->j", half, half)
        return self.center + between @ self._weight, np.maximum(variance, 1e-10)

    @property
    def noise_variance(self) -> float:
        """Variance of the noise of one observation."""
        return math.exp(2 * self.kernel.noise)
