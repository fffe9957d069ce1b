"""How well the experts foretold trials: in log-score, in ranks and in finding the best, at equal cost.

All figures are of the latest 200 trials that were foretold before they were told, and each stands beside that of
the better null model, which knows cost alone.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from autoreg.engine.surrogate.boosted_trees import Floats

if TYPE_CHECKING:
    from autoreg.engine.surrogate.ensemble import LogScoreWeights
    from autoreg.engine.surrogate.fitting import FittedSurrogate

TOP = 0.25
"""Share of the trials of nearly equal cost that count as the best."""
NEIGHBOURS = 0.2
"""Trials that lie within this share of all in the order of cost are of nearly equal cost."""


@dataclass(frozen=True)
class Quality:
    """How well the experts foretold trials.

    Args:
        trials: How many complete trials they know.
        tau: Kendall's tau over pairs of trials of nearly equal cost, in [-1, 1].
        tau_null: The same of the null model, which knows cost alone.
        error: Standard error of `tau - tau_null`, by the jackknife over trials.
        recall: Of the trials that are among the best at nearly equal cost, the share foretold to be, in [0, 1].
        recall_null: The same of the null model.
        coverage: Share of trials within their 80 % bounds.
        trusted: Whether screening listens.
        reason: Why, or why not.
        scored: How many trials were foretold before they were told.
        log_score: Mean logarithm of the density that the weighted experts gave to what came, in nats.
        log_score_null: The same of the better null model.
        weights: Of the experts, summing to 1.
    """

    trials: int
    tau: float = 0.0
    tau_null: float = 0.0
    error: float = 0.0
    recall: float = 0.0
    recall_null: float = 0.0
    coverage: float = 0.0
    trusted: bool = False
    reason: str = ""
    scored: int = 0
    log_score: float = 0.0
    log_score_null: float = 0.0
    weights: dict[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return JSON data."""
        return asdict(self)


def pairs_at_equal_cost(cost: ArrayLike, share: float = NEIGHBOURS) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices (i, j) of trials that lie within `share` of all trials of each other in order of cost."""
    position = np.argsort(np.argsort(np.asarray(cost, dtype=float), kind="stable"), kind="stable")
    i, j = np.triu_indices(len(position), 1)
    near = np.abs(position[i] - position[j]) <= max(2, round(share * len(position)))
    return i[near], j[near]


def concordance(y: ArrayLike, predicted: ArrayLike, i: NDArray[np.int64], j: NDArray[np.int64]) -> Floats:
    """Per pair: 1 if the order is foretold, -1 if it is turned round, 0 if it is left open."""
    y, predicted = np.asarray(y, dtype=float), np.asarray(predicted, dtype=float)
    return np.asarray(np.sign(y[i] - y[j]) * np.sign(predicted[i] - predicted[j]))


def jackknife(values: Floats, i: NDArray[np.int64], j: NDArray[np.int64], count: int) -> float:
    """Standard error of the mean of per-pair values, leaving out one of the `count` trials at a time."""
    total = np.bincount(i, values, count) + np.bincount(j, values, count)
    number = np.bincount(i, minlength=count) + np.bincount(j, minlength=count)
    left = (values.sum() - total) / np.maximum(len(values) - number, 1)
    return float(np.sqrt((count - 1) / count * np.sum((left - left.mean()) ** 2)))


def recall_of_best(
    y: ArrayLike, predicted: ArrayLike, i: NDArray[np.int64], j: NDArray[np.int64], top: float = TOP
) -> float:
    """Of the trials that are among the best `top` of those they are paired with, the share foretold to be.

    Args:
        y: What came [n], small is good.
        predicted: What was foretold [n].
        i: First of each pair.
        j: Second of each pair.
        top: Share of a trial's partners, at most, that may be better than it.
    """
    best, named = (_beaten(np.asarray(v, dtype=float), i, j) <= top for v in (y, predicted))
    return float((best & named).sum() / best.sum()) if best.any() else 0.0


def _beaten(values: Floats, i: NDArray[np.int64], j: NDArray[np.int64]) -> Floats:
    """Share [n] of each trial's partners that are better than it, ties as half."""
    count = len(values)
    behind = 0.5 * (1 + np.sign(values[i] - values[j]))
    partners = np.bincount(i, minlength=count) + np.bincount(j, minlength=count)
    lost = np.bincount(i, behind, count) + np.bincount(j, 1 - behind, count)
    return np.asarray(lost / np.maximum(partners, 1))


def validate(board: LogScoreWeights, learned: FittedSurrogate) -> Quality:
    """The record of the experts over the latest trials that they foretold."""
    from autoreg.engine.surrogate.ensemble import VALIDATION_WINDOW

    pairs = np.array(board.pairs[-VALIDATION_WINDOW:], dtype=float).reshape(-1, 4)
    if len(pairs) < 3:
        return Quality(learned.trials, reason=learned.reason, scored=learned.scored, weights=dict(learned.weights))
    came, foretold, null, cost = pairs.T
    i, j = pairs_at_equal_cost(cost) if np.ptp(cost) > 0 else np.triu_indices(len(came), 1)
    own, base = concordance(came, foretold, i, j), concordance(came, null, i, j)
    score, rival = board.scores()
    return Quality(
        learned.trials,
        float(own.mean()),
        float(base.mean()),
        jackknife(own - base, i, j, len(came)),
        recall_of_best(came, foretold, i, j),
        recall_of_best(came, null, i, j),
        float(np.mean(np.abs(board.misses[-VALIDATION_WINDOW:]) <= 1.2816)),
        learned.trusted,
        learned.reason,
        learned.scored,
        score,
        rival,
        dict(learned.weights),
    )
