"""Bayesian linear regression, the base model that needs the fewest trials."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from autoreg.engine.pareto.front import Floats
from autoreg.lazy import lazy_module

if TYPE_CHECKING:
    from scipy import linalg
else:
    linalg = lazy_module("scipy.linalg")

NOISE_TO_WEIGHT_VARIANCE = np.geomspace(0.3, 300, 13)
"""Ratios among which the one of largest evidence is taken."""


class BayesianRidge:
    """Bayesian linear regression; weight and noise variance by maximizing the evidence over a grid of their ratio.

    A grid in place of scikit-learn's fixed point: 13 values of one singular value decomposition, and no iteration that
    may not converge with fewer trials than columns.

    Args:
        columns: Features [n, p].
        scores: Targets [n].

    Reference: MacKay, "Bayesian interpolation", Neural Computation 1992 (the evidence).
    """

    def __init__(self, columns: Floats, scores: Floats) -> None:
        self._center, self._mean = columns.mean(axis=0), float(scores.mean())
        left, singular, self._right = _svd(columns - self._center)
        rest = scores - self._mean
        rotated = left.T @ rest
        self._count = len(scores)
        best = -math.inf
        for ratio in NOISE_TO_WEIGHT_VARIANCE:
            shrunk = singular**2 + ratio
            residual = float(rest @ rest - (rotated**2 * singular**2 / shrunk).sum())
            noise = (residual + 0.1) / (self._count + 1)  # a weak prior: one more trial with a square of 0.1
            evidence = -0.5 * (np.log(shrunk / ratio).sum() + (self._count + 1) * math.log(noise))
            if evidence > best:
                best, self._shrunk, self._noise, self._ratio = evidence, shrunk, noise, ratio
                self._weight = self._right.T @ (singular * rotated / shrunk)

    def predict(self, columns: Floats) -> tuple[Floats, Floats]:
        """Mean and standard deviation [n] of what would be observed at features [n, p], noise included."""
        off = np.clip(columns - self._center, -10, 10)
        rotated = off @ self._right.T
        outside = np.maximum((off**2).sum(axis=1) - (rotated**2).sum(axis=1), 0.0)
        of_weight = (rotated**2 / self._shrunk).sum(axis=1) + outside / self._ratio + 1 / self._count
        return self._mean + off @ self._weight, np.sqrt(self._noise * (1 + of_weight))


def _svd(matrix: Floats) -> tuple[Floats, Floats, Floats]:
    """The thin singular value decomposition: left [n, k], singular values [k], right [k, p].

    By divide and conquer, which on rare finite matrices does not converge (seen after the 150th trial of a study, and
    with the same matrix again); then by QR iteration, which is slower and does.
    """
    try:
        left, singular, right = np.linalg.svd(matrix, full_matrices=False)
    except np.linalg.LinAlgError:
        left, singular, right = linalg.svd(matrix, full_matrices=False, lapack_driver="gesvd")
    return left, singular, right
