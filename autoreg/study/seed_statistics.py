"""What several seeds of a recipe say: means and spreads, and the front by them.

A metric may be missing with some seeds (a network that could not be timed once): it is averaged over the others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from autoreg.engine.pareto.front import nondominated
from autoreg.space import Expression

BOOTSTRAP_DRAWS = 400


def spread(found: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    """Mean and standard deviation over seeds of each metric.

    Args:
        found: metrics of each seed, at least one; a metric counts where it is known.

    Returns:
        `mean`; `std`, with n - 1 in the denominator, None for a single value; `values`, the metrics of each seed.
    """
    known = {name: [one[name] for one in found if name in one] for name in _names(found)}
    mean = {name: float(np.mean(values)) for name, values in known.items()}
    std = {name: float(np.std(values, ddof=1)) if len(values) > 1 else None for name, values in known.items()}
    return {"mean": mean, "std": std, "values": [dict(one) for one in found]}


def spread_by_set(found: Sequence[Mapping[str, Mapping[str, float]]]) -> dict[str, Any]:
    """Test metrics over seeds: of each test set, and of their mean.

    Args:
        found: of each seed, metrics by test set.

    Returns:
        `test`, None where there are none, and `test_sets`, each as `spread` gives them.
    """
    if not found:
        return {"test": None, "test_sets": {}}
    sets = {name: spread([one[name] for one in found if name in one]) for name in _names(found)}
    return {"test": spread([spread(list(one.values()))["mean"] for one in found if one]), "test_sets": sets}


def _names(found: Sequence[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(name for one in found for name in one))


class SeedFront:
    """The front among recipes that were measured with several seeds.

    Only those count that meet the constraints by their means, and of which every objective is known with one seed at
    least.

    Args:
        validations: of each recipe what `spread` gives, None where no seed was completed.
        objectives: directions by name.
        constraints: rules over metrics.
        dense: metrics of the dense network, which rules call `dense.NAME`.
    """

    def __init__(
        self,
        validations: Sequence[Mapping[str, Any] | None],
        objectives: Mapping[str, str],
        constraints: Sequence[Expression],
        dense: Mapping[str, float],
    ) -> None:
        self.validations = validations
        self.objectives = dict(objectives)
        self._constraints = constraints
        self._dense = {f"dense.{name}": value for name, value in dense.items()}
        self.valid = [i for i, one in enumerate(validations) if one is not None and self._counts(one["mean"])]

    def _counts(self, mean: Mapping[str, float]) -> bool:
        known = {**self._dense, **mean}
        return all(name in mean for name in self.objectives) and all(
            rule.names <= known.keys() and rule.violation(known) <= 0 for rule in self._constraints
        )

    def members(self) -> list[bool]:
        """Which of the recipes are on the front of the means."""
        if not self.valid:
            return [False] * len(self.validations)
        means = np.array([self._signed(self._mean(i)) for i in self.valid])
        stays = dict(zip(self.valid, nondominated(means), strict=True))
        return [bool(stays.get(i, False)) for i in range(len(self.validations))]

    def probabilities(self, seed: int, draws: int = BOOTSTRAP_DRAWS) -> list[float | None]:
        """Fraction of bootstrap draws (one seed per recipe) in which each recipe is on the front.

        Args:
            seed: of the draws.
            draws: how many.

        Returns:
            0 for recipes that do not count, None where no seed was completed. An objective that is not known with the
            drawn seed has its mean.
        """
        rng = np.random.default_rng([seed, 0xF2])
        values = [np.array([self._signed({**self._mean(i), **one}) for one in self._values(i)]) for i in self.valid]
        wins = np.zeros(len(self.valid))
        for _ in range(draws if values else 0):
            wins += nondominated(np.stack([rows[rng.integers(len(rows))] for rows in values]))
        fractions = dict(zip(self.valid, (wins / draws).tolist(), strict=True))
        return [None if one is None else float(fractions.get(i, 0.0)) for i, one in enumerate(self.validations)]

    def _mean(self, index: int) -> Mapping[str, float]:
        one = self.validations[index]
        return one["mean"] if one is not None else {}

    def _values(self, index: int) -> Sequence[Mapping[str, float]]:
        one = self.validations[index]
        return one["values"] if one is not None else ()

    def _signed(self, metrics: Mapping[str, float]) -> list[float]:
        return [metrics[name] if way == "min" else -metrics[name] for name, way in self.objectives.items()]
