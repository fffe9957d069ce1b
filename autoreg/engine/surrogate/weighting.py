"""Weights of base models by how well they predicted trials before these completed, and whether all are trusted."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from autoreg.engine.pareto.front import Floats

Gaussian = tuple[Floats, Floats]
"""Mean [n] and standard deviation [n] of scores."""

COST_ONLY = "cost_only"
MEAN_ONLY = "mean_only"
BASELINES = (COST_ONLY, MEAN_ONLY)
"""What base models are measured against: a model that knows cost alone, and one that knows nothing."""
INITIAL_LOG_WEIGHTS = {"gp": 0.0, "ridge": -3.0, "trees": -3.0, COST_ONLY: -3.0}
"""Logarithm of the weight of a base model before it has predicted anything; the cost-only baseline counts as one while
the ensemble without it is clearly worse than it, see `trust`."""
LOG_SCORE_DECAY = 0.96
"""Factor on the sum of a base model's log-scores with each trial: the last 25 count."""
MIN_LOG_SCORE = -6.0
"""A log-score counts as no less than this: one surprise must not end the influence of a model for ever."""
VALIDATION_WINDOW = 200
"""Trials over which the ensemble is compared with the baselines: the latest."""
TRUST_MIN_PREDICTED = 12
"""Fewest trials that must have been predicted before the ensemble can lose trust."""
DISTRUST_NATS = 0.05
DISTRUST_STANDARD_ERRORS = 2.0
"""How far it must be behind a baseline for that, in log-score: in nats a trial, and in standard errors of the lead."""


def log_score(mean: float, spread: float, value: float) -> float:
    """Logarithm of the density of N(mean, spread^2) at `value`."""
    return -0.5 * ((value - mean) / spread) ** 2 - math.log(spread) - 0.5 * math.log(2 * math.pi)


def mixture_moments(predictions: Mapping[str, Gaussian], weights: Mapping[str, float]) -> Gaussian:
    """Mean and standard deviation of the mixture of base models; the variance holds their disagreement."""
    names = [n for n in predictions if n in weights]
    weight = np.array([weights[n] for n in names])
    weight = weight / weight.sum() if weight.sum() > 0 else np.full(len(names), 1 / len(names))
    means, spreads = np.array([predictions[n][0] for n in names]), np.array([predictions[n][1] for n in names])
    mean = weight @ means
    return mean, np.sqrt(weight @ (spreads**2 + (means - mean) ** 2))


@dataclass
class LogScoreWeights:
    """Prequential log-scores of base models and the weights that follow; a function of the trials in their order.

    Attributes:
        totals: Decayed sum of each base model's log-scores.
        ensemble: Log-score of the weighted ensemble, per trial.
        baselines: Those of the baselines.
        standardized_errors: Of the weighted ensemble.
        pairs: The score, its prediction, that of the cost-only baseline, and the log cost.
        groups: What shares its seed's noise.

    Reference: Dawid, "Present position and potential developments: the prequential approach", JRSS A 1984.
    """

    totals: dict[str, float] = field(default_factory=lambda: dict(INITIAL_LOG_WEIGHTS))
    ensemble: list[float] = field(default_factory=list)
    baselines: list[dict[str, float]] = field(default_factory=list)
    standardized_errors: list[float] = field(default_factory=list)
    pairs: list[tuple[float, float, float, float]] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)

    def update(self, predictions: Mapping[str, tuple[float, float]], score: float, group: str, cost: float) -> None:
        """Take in a completed trial; the ensemble's own log-score is that of the base models without a baseline.

        Trials of one group share their seed's noise: one whose group was predicted before counts half.

        Args:
            predictions: Mean and standard deviation by base model and baseline, as recorded when the trial was asked.
            score: What it came out with.
            group: Its group.
            cost: Logarithm of its cost.
        """
        weighed = [n for n in predictions if n in INITIAL_LOG_WEIGHTS]
        models = {
            n: (np.array([v]), np.array([s])) for n, (v, s) in predictions.items() if n in weighed and n != COST_ONLY
        }
        if not models or COST_ONLY not in predictions:
            return
        share = 0.5 if group in self.groups else 1.0
        mean, spread = mixture_moments(models, self.weights(models))
        self.ensemble.append(log_score(float(mean[0]), float(spread[0]), score))
        self.baselines.append({n: log_score(predictions[n][0], predictions[n][1], score) for n in BASELINES})
        self.standardized_errors.append((score - float(mean[0])) / float(spread[0]))
        self.pairs.append((score, float(mean[0]), predictions[COST_ONLY][0], cost))
        self.groups.append(group)
        for name, start in INITIAL_LOG_WEIGHTS.items():
            self.totals[name] = start + LOG_SCORE_DECAY * (self.totals[name] - start)
        scores = {n: max(log_score(predictions[n][0], predictions[n][1], score), MIN_LOG_SCORE) for n in weighed}
        middle = float(np.mean(list(scores.values())))
        for name, value in scores.items():  # a model that predicted nothing neither gains nor loses
            self.totals[name] += share * (value - middle)

    def weights(self, names: Mapping[str, object] | Sequence[str] | None = None) -> dict[str, float]:
        """Weight of each base model, summing to 1."""
        wanted = [n for n in self.totals if names is None or n in names]
        top = max(self.totals[n] for n in wanted)
        raw = {n: math.exp(self.totals[n] - top) for n in wanted}
        total = sum(raw.values())
        return {n: v / total for n, v in raw.items()}

    def lead(self) -> tuple[float, float, str]:
        """Mean lead in log-score over the better baseline, its standard error, and which baseline that is."""
        if not self.ensemble:
            return 0.0, math.inf, COST_ONLY
        own, base = self.ensemble[-VALIDATION_WINDOW:], self.baselines[-VALIDATION_WINDOW:]
        sums = {n: sum(max(b[n], MIN_LOG_SCORE) for b in base) for n in BASELINES}
        rival = max(sums, key=lambda n: sums[n])
        leads = np.array([max(o, MIN_LOG_SCORE) - max(b[rival], MIN_LOG_SCORE) for o, b in zip(own, base, strict=True)])
        labels = np.unique(self.groups[-VALIDATION_WINDOW:], return_inverse=True)[1]
        sums_by_group = np.bincount(labels, leads - leads.mean())  # trials of a group are one observation
        error = math.sqrt(float((sums_by_group**2).sum())) / len(leads)
        return float(leads.mean()), error * math.sqrt(len(leads) / max(len(leads) - 1, 1)), rival

    def mean_log_scores(self) -> tuple[float, float]:
        """Mean log-score of the weighted ensemble and of the better baseline, none below `MIN_LOG_SCORE`."""
        own = self.ensemble[-VALIDATION_WINDOW:]
        mean = float(np.mean([max(o, MIN_LOG_SCORE) for o in own])) if own else 0.0
        return mean, mean - self.lead()[0]


def trust(lead: float, error: float, rival: str, predicted: int) -> tuple[bool, str]:
    """Whether an ensemble with such a lead is trusted, and why: it is, unless it is seen to be worse.

    Waiting for a lead that is significant cost more than it saved on HPOLib (`benchmarks/results/README.md`).

    Args:
        lead: Mean lead in log-score over the better baseline.
        error: Its standard error.
        rival: That baseline.
        predicted: Trials that were predicted before they completed.
    """
    if predicted < TRUST_MIN_PREDICTED:
        return (
            True,
            f"trusted until {TRUST_MIN_PREDICTED} trials were predicted before they completed; {predicted} were",
        )
    against = "cost alone" if rival == COST_ONLY else "the mean alone"
    reason = f"log-score {lead:+.2f} a trial against {against}, over {predicted} trials predicted in advance"
    worse = lead < -max(DISTRUST_NATS, DISTRUST_STANDARD_ERRORS * error)
    return (False, f"{reason}: clearly worse") if worse else (True, reason)
