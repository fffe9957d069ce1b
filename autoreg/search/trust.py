"""Whether a predictor may be listened to: does it rank trials of equal cost better than cost alone?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone

from autoreg.search.predictor import CostNull, Floats, MeanPredictor, RankGaussian

if TYPE_CHECKING:
    from autoreg.search.experts import Scoreboard
    from autoreg.search.screening import Learned

COVERAGE = 0.8
"""The share of trials whose quality the bounds of a prediction are meant to hold."""


@dataclass(frozen=True)
class Quality:
    """How well a predictor foretold trials that it had not seen.

    Args:
        trials: How many trials it was judged on.
        tau: Kendall's tau over pairs of trials of nearly equal cost, in [-1, 1].
        tau_null: The same of the null model, which knows cost alone.
        error: Standard error of `tau - tau_null`, by the jackknife over trials.
        coverage: Share of trials within their 80 % bounds, which were set by the other folds.
        trusted: Whether screening listens to it.
        reason: Why, or why not.
        scored: How many trials were foretold before they were told; all figures below and above are of these.
        log_score: Mean logarithm of the density that the weighted experts gave to what came, in nats.
        log_score_null: The same of the better null model.
        weights: Of the experts, summing to 1.
    """

    trials: int
    tau: float = 0.0
    tau_null: float = 0.0
    error: float = 0.0
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


def folds(count: int, parts: int, seed: int, groups: ArrayLike | None = None) -> NDArray[np.int64]:
    """Assign [n] trials to `parts` folds, evenly and at random; trials of one group stay together."""
    rng = np.random.default_rng([seed, count])
    labels = np.arange(count) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1].reshape(-1)
    fold_of = np.empty(labels.max() + 1 if count else 0, dtype=np.int64)
    fold_of[rng.permutation(len(fold_of))] = np.arange(len(fold_of)) % parts
    return fold_of[labels]


def held_out(
    estimator: Any,
    X: ArrayLike,
    y: ArrayLike,
    fold: NDArray[np.int64],
) -> tuple[Floats, Floats]:
    """Scores [n] of every trial by a model that did not see its fold, and its true score on the same scale."""
    X, y = np.asarray(X, dtype=float), np.asarray(y, dtype=float)
    predicted, true = np.zeros(len(y)), np.zeros(len(y))
    for k in np.unique(fold):
        model = clone(estimator).fit(X[fold != k], y[fold != k])
        predicted[fold == k] = model.score_of(X[fold == k])
        true[fold == k] = model.warp_.forward(y[fold == k])
    return predicted, true


def pairs_at_equal_cost(cost: ArrayLike, share: float = 0.2) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
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


def coverage_of_bounds(residual: Floats, fold: NDArray[np.int64]) -> float:
    """Share of trials whose residual is within the bounds that the other folds' residuals set."""
    inside = np.zeros(len(residual), dtype=bool)
    for k in np.unique(fold):
        low, high = np.quantile(residual[fold != k], [(1 - COVERAGE) / 2, (1 + COVERAGE) / 2])
        inside[fold == k] = (residual[fold == k] >= low) & (residual[fold == k] <= high)
    return float(inside.mean())


@dataclass(frozen=True)
class Judged:
    """A fitted predictor with its record: quality, and residuals of held-out scores [n]."""

    model: Any
    quality: Quality
    residuals: Floats

    def quantiles(self, X: ArrayLike, levels: ArrayLike) -> Floats:
        """Quality [n, levels] at the given levels of its predictive distribution, in its own units."""
        shifts = (
            np.quantile(self.residuals, np.asarray(levels, dtype=float))
            if len(self.residuals)
            else np.zeros(np.size(levels))
        )
        warp: RankGaussian = self.model.warp_
        return warp.back(self.model.score_of(X)[:, None] + shifts[None, :])


def judge(
    X: ArrayLike,
    y: ArrayLike,
    costs: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    least: int = 20,
    margin: float = 0.05,
    errors: float = 1.64,
    parts: int = 5,
    seed: int = 0,
    make: Callable[[], Any] | None = None,
) -> Judged:
    """Fit the predictor, and say whether it has earned trust.

    It is trusted if, on at least `least` trials, its rank agreement at equal cost beats that of
    the null model by more than `margin` and more than `errors` standard errors (5 % one-sided).

    Args:
        X: Encoded configs [n, p], NaN where inactive.
        y: Quality to be minimized [n].
        costs: Logarithms of known costs [n, k]; k may be 0.
        groups: Trials that share luck (a trained prefix, say) share a label [n]; they are held out together.
        least: Fewest trials to be trusted on.
        margin: Least lead over the null model in tau.
        errors: Least lead in standard errors.
        parts: Number of folds.
        seed: Seed of the folds and the trees.
        make: Makes the predictor; `MeanPredictor` by default.
    """
    X, y = np.asarray(X, dtype=float), np.asarray(y, dtype=float)
    costs = np.asarray(costs, dtype=float).reshape(len(y), -1)
    estimator = make() if make is not None else MeanPredictor(seed=seed)
    model = clone(estimator).fit(X, y)
    if len(y) < least:
        return Judged(model, Quality(len(y), reason=f"{len(y)} of at least {least} trials"), np.zeros(0))
    fold = folds(len(y), parts, seed, groups)
    if len(np.unique(fold)) < 2:
        return Judged(model, Quality(len(y), reason="all trials share one group"), np.zeros(0))
    predicted, true = held_out(estimator, X, y, fold)
    null = held_out(CostNull(), costs, y, fold)[0] if costs.shape[1] else np.zeros(len(y))
    i, j = pairs_at_equal_cost(costs.mean(axis=1)) if costs.shape[1] else np.triu_indices(len(y), 1)
    own, base = concordance(y, predicted, i, j), concordance(y, null, i, j)
    tau, tau_null, error = float(own.mean()), float(base.mean()), jackknife(own - base, i, j, len(y))
    trusted, reason = _verdict(tau, tau_null, error, margin, errors)
    residuals = true - predicted
    quality = Quality(len(y), tau, tau_null, error, coverage_of_bounds(residuals, fold), trusted, reason)
    return Judged(model, quality, np.sort(residuals))


def _verdict(tau: float, tau_null: float, error: float, margin: float, errors: float) -> tuple[bool, str]:
    lead, need = tau - tau_null, max(margin, errors * error)
    if tau <= 0 or lead <= need:
        return (
            False,
            f"ranks at equal cost with tau {tau:.2f} against {tau_null:.2f} from cost alone; needed: {need:.2f} more",
        )
    return True, f"ranks at equal cost with tau {tau:.2f} against {tau_null:.2f} from cost alone"


def foretold_quality(board: Scoreboard, learned: Learned) -> Quality:
    """The record of the experts over the trials that they foretold, the latest thousand at most."""
    pairs = np.array(board.pairs[-1000:], dtype=float).reshape(-1, 4)
    if len(pairs) < 3:
        return Quality(learned.trials, reason=learned.reason, scored=learned.scored, weights=dict(learned.weights))
    came, foretold, null, cost = pairs.T
    i, j = pairs_at_equal_cost(cost) if np.ptp(cost) > 0 else np.triu_indices(len(came), 1)
    own, base = concordance(came, foretold, i, j), concordance(came, null, i, j)
    own_score = float(np.mean(board.own[-1000:]))
    rival = float(np.mean(board.own[-1000:])) - learned.lead
    inside = float(np.mean(np.abs(board.misses[-1000:]) <= 1.2816))
    return Quality(
        learned.trials,
        float(own.mean()),
        float(base.mean()),
        jackknife(own - base, i, j, len(came)),
        inside,
        learned.trusted,
        learned.reason,
        learned.scored,
        own_score,
        rival,
        dict(learned.weights),
    )
