"""How well trials were predicted before they completed: in log-score, in ranks and in finding the best, at equal cost.

All figures are of the latest trials that were predicted before they completed, and each stands beside that of a
baseline: the cost-only one for ranks, the better of the two for log-scores.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from autoreg.engine.pareto.front import Floats
from autoreg.engine.surrogate.fitted import FittedSurrogate
from autoreg.engine.surrogate.weighting import VALIDATION_WINDOW, LogScoreWeights

BEST_FRACTION = 0.25
"""Fraction of the trials of nearly equal cost that count as the best."""
EQUAL_COST_FRACTION = 0.2
"""Trials that lie within this fraction of all in the order of cost are of nearly equal cost."""


@dataclass(frozen=True)
class Validation:
    """How well trials were predicted before they completed.

    Args:
        trials: How many complete trials the surrogate is fitted to.
        tau: Kendall's tau over pairs of trials of nearly equal cost, in [-1, 1].
        tau_baseline: The same of the cost-only baseline.
        error: Standard error of `tau - tau_baseline`, by the jackknife over trials.
        recall: Of the trials that are among the best at nearly equal cost, the fraction predicted to be, in [0, 1].
        recall_baseline: The same of the cost-only baseline.
        coverage: Fraction of trials within their 80 % bounds.
        trusted: Whether proposals follow the surrogate.
        reason: Why, or why not.
        predicted: How many trials were predicted before they completed.
        log_score: Mean logarithm of the density that the weighted ensemble gave to the score, in nats.
        log_score_baseline: The same of the better baseline.
        weights: Of the base models, summing to 1.
    """

    trials: int
    tau: float = 0.0
    tau_baseline: float = 0.0
    error: float = 0.0
    recall: float = 0.0
    recall_baseline: float = 0.0
    coverage: float = 0.0
    trusted: bool = False
    reason: str = ""
    predicted: int = 0
    log_score: float = 0.0
    log_score_baseline: float = 0.0
    weights: dict[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return JSON data."""
        return asdict(self)


def pairs_at_equal_cost(
    cost: ArrayLike, fraction: float = EQUAL_COST_FRACTION
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices (i, j) of trials that lie within `fraction` of all trials of each other in order of cost."""
    position = np.argsort(np.argsort(np.asarray(cost, dtype=float), kind="stable"), kind="stable")
    i, j = np.triu_indices(len(position), 1)
    near = np.abs(position[i] - position[j]) <= max(2, round(fraction * len(position)))
    return i[near], j[near]


def concordance(y: ArrayLike, predicted: ArrayLike, i: NDArray[np.int64], j: NDArray[np.int64]) -> Floats:
    """Per pair: 1 if the order is predicted, -1 if it is reversed, 0 if it is tied."""
    y, predicted = np.asarray(y, dtype=float), np.asarray(predicted, dtype=float)
    return np.asarray(np.sign(y[i] - y[j]) * np.sign(predicted[i] - predicted[j]))


def jackknife(values: Floats, i: NDArray[np.int64], j: NDArray[np.int64], count: int) -> float:
    """Standard error of the mean of per-pair values, leaving out one of the `count` trials at a time."""
    total = np.bincount(i, values, count) + np.bincount(j, values, count)
    number = np.bincount(i, minlength=count) + np.bincount(j, minlength=count)
    left = (values.sum() - total) / np.maximum(len(values) - number, 1)
    return float(np.sqrt((count - 1) / count * np.sum((left - left.mean()) ** 2)))


def recall_of_best(
    y: ArrayLike, predicted: ArrayLike, i: NDArray[np.int64], j: NDArray[np.int64], top: float = BEST_FRACTION
) -> float:
    """Of the trials that are among the best `top` of those they are paired with, the fraction predicted to be.

    Args:
        y: Targets [n], small is good.
        predicted: Their predictions [n].
        i: First of each pair.
        j: Second of each pair.
        top: Fraction of a trial's partners, at most, that may be better than it.
    """
    best, predicted_best = (_beaten(np.asarray(v, dtype=float), i, j) <= top for v in (y, predicted))
    return float((best & predicted_best).sum() / best.sum()) if best.any() else 0.0


def _beaten(values: Floats, i: NDArray[np.int64], j: NDArray[np.int64]) -> Floats:
    """Fraction [n] of each trial's partners that are better than it, ties as half."""
    count = len(values)
    behind = 0.5 * (1 + np.sign(values[i] - values[j]))
    partners = np.bincount(i, minlength=count) + np.bincount(j, minlength=count)
    lost = np.bincount(i, behind, count) + np.bincount(j, 1 - behind, count)
    return np.asarray(lost / np.maximum(partners, 1))


def validate(log_scores: LogScoreWeights, fitted: FittedSurrogate) -> Validation:
    """How well the latest trials were predicted before they completed."""
    pairs = np.array(log_scores.pairs[-VALIDATION_WINDOW:], dtype=float).reshape(-1, 4)
    about: dict[str, Any] = {"predicted": fitted.predicted, "weights": dict(fitted.weights), "reason": fitted.reason}
    if len(pairs) < 3:
        return Validation(fitted.trials, **about)
    scores, predicted, cost_only, cost = pairs.T
    i, j = pairs_at_equal_cost(cost) if np.ptp(cost) > 0 else np.triu_indices(len(scores), 1)
    own, base = concordance(scores, predicted, i, j), concordance(scores, cost_only, i, j)
    log_score, log_score_baseline = log_scores.mean_log_scores()
    return Validation(
        fitted.trials,
        tau=float(own.mean()),
        tau_baseline=float(base.mean()),
        error=jackknife(own - base, i, j, len(scores)),
        recall=recall_of_best(scores, predicted, i, j),
        recall_baseline=recall_of_best(scores, cost_only, i, j),
        coverage=float(np.mean(np.abs(log_scores.standardized_errors[-VALIDATION_WINDOW:]) <= 1.2816)),
        trusted=fitted.trusted,
        log_score=log_score,
        log_score_baseline=log_score_baseline,
        **about,
    )
