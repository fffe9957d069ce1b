"""What a surrogate knows at one moment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from autoreg.engine.pareto.front import Floats
from autoreg.engine.surrogate.ensemble import Ensemble

TINY_COST = 1e-12
"""What a cost counts as at least before its logarithm is taken, and what one that is not known counts as."""


# many arguments: the record of one fit, built in one place
@dataclass(frozen=True)
class FittedSurrogate:
    """The ensembles after `trials` complete trials, and how they are weighted.

    Attributes:
        hyperparameter_trials: Trials that the hyper-parameters were fitted to, and the warp with them.
        trials: Trials that the base models were fitted to.
        ensembles: One per objective that is not known in advance.
        cost_names: Objectives whose logarithms the base models see beside the config.
        weights: Of the base models of the quality, summing to 1.
        lead: Mean lead of the weighted ensemble in log-score over the better baseline, in nats a trial.
        error: Its standard error.
        predicted: How many trials were predicted before they completed.
        trusted: Whether proposals follow it.
        reason: Why, or why not.
    """

    hyperparameter_trials: int
    trials: int
    ensembles: Mapping[str, Ensemble]
    cost_names: tuple[str, ...]
    weights: Mapping[str, float]
    lead: float
    error: float
    predicted: int
    trusted: bool
    reason: str

    def log_costs(self, costs: Sequence[Mapping[str, float]]) -> Floats:
        """Logarithms [n, k] of the known costs of candidates."""
        return log_costs(self.cost_names, costs)


def log_costs(names: Sequence[str], costs: Sequence[Mapping[str, float]]) -> Floats:
    """Logarithms [n, k] of some costs."""
    rows = np.array([[c.get(n, TINY_COST) for n in names] for c in costs], dtype=float)
    return np.asarray(np.log(np.maximum(rows.reshape(len(costs), len(names)), TINY_COST)))
