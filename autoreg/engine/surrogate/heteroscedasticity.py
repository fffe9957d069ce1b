"""Where the noise of a score is large: unstable trainings are noisier than stable ones.

The variance of a run's noise is that of the process times a factor, whose logarithm is linear in the predicted score
and the known cost. With one number for all, an unstable recipe that had a good seed looks good. Of 28 recipes on
digits, run with four seeds each, the deviation of the error grew from 0.006 at an error of 0.02 to 0.024 at 0.12; its
dependence on the learning rate was nil beside that on the score.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from autoreg.engine.pareto.front import Floats
from autoreg.lazy import lazy_module

if TYPE_CHECKING:
    from scipy import linalg, optimize
else:
    linalg, optimize = lazy_module("scipy.linalg"), lazy_module("scipy.optimize")

SLOPE_PRIORS = ((0.5, 0.4), (0.0, 0.3))
"""Mean and deviation of the slopes of the log variance, by the standardized predicted score, and by the standardized
logarithm of cost. On digits they were +0.5, a gain of 3.6 nats over equal noise, and -0.2, one of 1.5."""
MAX_LOG_FACTOR = 2.5
"""No run is noisier than the mean by more than this, in the logarithm of its variance, nor quieter."""


def leave_one_out(covariance: Floats, noise_variance: float, scores: Floats) -> tuple[Floats, Floats]:
    """Mean [n] and variance [n] of each score as all others predict it, its own noise included.

    Args:
        covariance: Of the scores without noise [n, n].
        noise_variance: Of each.
        scores: Observed [n], centred.

    Reference: Rasmussen and Williams, "Gaussian processes for machine learning", 2006, equations 5.10 to 5.12.
    """
    inverse = linalg.inv(covariance + noise_variance * np.eye(len(scores)))
    variance = 1.0 / np.diag(inverse)
    return scores - (inverse @ scores) * variance, variance


def features(predicted: Floats, log_costs: Floats, recipe: NDArray[np.int64]) -> Floats:
    """What the noise of recipes depends on [k, 2]: predicted score and cost, both standardized.

    Args:
        predicted: Score of each run as the others predict it [n].
        log_costs: Mean logarithm of the known costs of recipes [k]; all alike where none is known.
        recipe: Of each run [n], as index.
    """
    runs = np.maximum(np.bincount(recipe, minlength=len(log_costs)), 1)
    table = np.column_stack([np.bincount(recipe, predicted, len(log_costs)) / runs, log_costs])
    return np.asarray((table - table.mean(axis=0)) / np.maximum(table.std(axis=0), 1e-9))


def fit_slopes(predicted: Floats, variance: Floats, scores: Floats, noise_variance: float, table: Floats) -> Floats:
    """Slopes [2] of the log variance that maximize the pseudo-likelihood of held-out scores, times their prior.

    Args:
        predicted: As from `leave_one_out` [n].
        variance: The same [n].
        scores: Observed [n], centred.
        noise_variance: The mean noise.
        table: `features` of each run [n, 2].
    """
    squares, signal = (scores - predicted) ** 2, np.maximum(variance - noise_variance, 1e-9)
    middle, spread = np.array(SLOPE_PRIORS).T

    def loss(slopes: Floats) -> tuple[float, Floats]:
        noise = noise_variance * factors(table, slopes)
        total = signal + noise
        by_log = 0.5 * (1 - squares / total) * noise / total  # of the loss, by the logarithm of each factor
        by_log = np.where(np.abs(table @ slopes) < MAX_LOG_FACTOR, by_log, 0.0)
        value = 0.5 * (np.log(total) + squares / total).sum() + 0.5 * (((slopes - middle) / spread) ** 2).sum()
        return float(value), table.T @ by_log + (slopes - middle) / spread**2

    return np.asarray(optimize.minimize(loss, middle, jac=True, method="L-BFGS-B", options={"maxiter": 60}).x)


def factors(table: Floats, slopes: Floats) -> Floats:
    """By what the noise of recipes [k] differs from the mean noise, as a factor of the variance."""
    return np.asarray(np.exp(np.clip(table @ slopes, -MAX_LOG_FACTOR, MAX_LOG_FACTOR)))
