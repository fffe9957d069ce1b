"""What several seeds of a recipe say: means and spreads, and the front by them.

A metric may be missing with some seeds (a network that could not be timed once): it is averaged over the others.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from autoreg.engine.pareto.front import Floats, Mask, nondominated
from autoreg.report.data.seed_spread import SeedSpread
from autoreg.space import Expression

BOOTSTRAP_DRAWS = 400
EQUAL_COSTS = 0.05
"""Costs that differ by at most this much count as equal when a baseline is compared with a member: a member that is
0.1 % cheaper than a baseline and worse is no gain, and times of the same network differ by as much."""


def spread(found: Sequence[Mapping[str, float]]) -> SeedSpread:
    """Mean and standard deviation over seeds of each metric.

    Args:
        found: metrics of each seed, at least one; a metric counts where it is known.
    """
    known = {name: [one[name] for one in found if name in one] for name in _names(found)}
    mean = {name: float(np.mean(values)) for name, values in known.items()}
    std = {name: float(np.std(values, ddof=1)) for name, values in known.items() if len(values) > 1}
    return SeedSpread(mean, std, tuple(dict(one) for one in found))


def spread_by_set(
    found: Sequence[Mapping[str, Mapping[str, float]]],
) -> tuple[SeedSpread | None, dict[str, SeedSpread]]:
    """Test metrics over seeds: of the mean of the test sets, and of each.

    Args:
        found: of each seed, metrics by test set.

    Returns:
        None and nothing where there are none.
    """
    if not found:
        return None, {}
    sets = {name: spread([one[name] for one in found if name in one]) for name in _names(found)}
    return spread([spread(list(one.values())).mean for one in found if one]), sets


def _names(found: Sequence[Mapping[str, object]]) -> list[str]:
    return list(dict.fromkeys(name for one in found for name in one))


class SeedFront:
    """The front among recipes that were measured with several seeds, members of a search and baselines.

    Only those count that meet the constraints by their means, and of which every objective is known with one seed at
    least. Of these, the ones stay that no other dominates by its means; and no member stays that any baseline dominates
    while costs within `EQUAL_COSTS` count as equal.

    Args:
        validations: of each recipe, None where no seed was completed.
        objectives: directions by name.
        constraints: rules over metrics.
        dense: metrics of the dense network, which rules call `dense.NAME`.
        costs: the objectives that are costs.
        baselines: which of the recipes are baselines, by their place.
    """

    def __init__(  # many arguments: what is compared, and the rules
        self,
        validations: Sequence[SeedSpread | None],
        objectives: Mapping[str, str],
        constraints: Sequence[Expression],
        dense: Mapping[str, float],
        *,
        costs: Collection[str] = (),
        baselines: Collection[int] = (),
    ) -> None:
        self.objectives = dict(objectives)
        self._count = len(validations)
        self._constraints = constraints
        self._dense = {f"dense.{name}": value for name, value in dense.items()}
        self._measured = [one is not None for one in validations]
        self._spreads = {i: one for i, one in enumerate(validations) if one is not None and self._counts(one.mean)}
        self.valid = list(self._spreads)
        # twelve digits: the means of 2, 3, 4 and of 3, 3, 3 are the same, and may differ in their last bit
        means = np.array([self._signed(one.mean) for one in self._spreads.values()])
        self._means = np.array([float(f"{value:.12g}") for value in means.ravel()]).reshape(means.shape)
        self._baselines = np.array([i in baselines for i in self.valid], dtype=bool)
        self._is_cost = np.array([name in costs for name in self.objectives])

    def _counts(self, mean: Mapping[str, float]) -> bool:
        known = {**self._dense, **mean}
        return all(name in mean for name in self.objectives) and all(
            rule.names <= known.keys() and rule.violation(known) <= 0 for rule in self._constraints
        )

    def members(self) -> list[bool]:
        """Which of the recipes are on the front."""
        stays = dict(zip(self.valid, self._stays().tolist(), strict=True))
        return [stays.get(i, False) for i in range(self._count)]

    def _stays(self) -> Mask:
        if not self.valid:
            return np.zeros(0, dtype=bool)
        exact = nondominated(self._means)
        beaten = np.array([bool(self._beating(row).any()) for row in range(len(self.valid))])
        stays = exact & ~(beaten & ~self._baselines)
        return stays if stays.any() else exact  # baselines and members that beat each other in a circle of near ties

    def _beating(self, row: int) -> Mask:
        """Which baselines dominate a recipe while costs that are nearly the same count as equal; `row` of `valid`."""
        one = self._means[row]
        equal = self._is_cost & (np.abs(self._means - one) <= EQUAL_COSTS * np.minimum(np.abs(self._means), abs(one)))
        better, worse = (self._means < one) & ~equal, (self._means > one) & ~equal
        return np.asarray(self._baselines & better.any(axis=1) & ~worse.any(axis=1))

    def dominators(self) -> list[int | None]:
        """What keeps each recipe off the front: one of those on it that dominate it by means, else a baseline."""
        found: list[int | None] = [None] * self._count
        on = self._stays()
        for row in np.flatnonzero(~on):
            by = on & _dominating(self._means, self._means[row])
            by = by if by.any() else self._beating(int(row))
            if by.any():
                found[self.valid[row]] = self.valid[int(np.flatnonzero(by)[0])]
        return found

    def probabilities(self, seed: int, draws: int = BOOTSTRAP_DRAWS) -> list[float | None]:
        """Fraction of bootstrap draws (one seed per recipe) in which no other recipe dominates it.

        Args:
            seed: of the draws.
            draws: how many.

        Returns:
            0 for recipes that do not count, None where no seed was completed. An objective that is not known with the
            drawn seed has its mean.
        """
        rng = np.random.default_rng([seed, 0xF2])
        values = [
            np.array([self._signed({**own.mean, **one}) for one in own.values or (own.mean,)])
            for own in self._spreads.values()
        ]
        wins = np.zeros(len(self.valid))
        for _ in range(draws if values else 0):
            wins += nondominated(np.stack([rows[rng.integers(len(rows))] for rows in values]))
        fractions = dict(zip(self.valid, (wins / draws).tolist(), strict=True))
        return [float(fractions.get(i, 0.0)) if known else None for i, known in enumerate(self._measured)]

    def _signed(self, metrics: Mapping[str, float]) -> list[float]:
        return [metrics[name] if way == "min" else -metrics[name] for name, way in self.objectives.items()]


def _dominating(points: Floats, one: Floats) -> Mask:
    """Which of the points [n, m] dominate one, smaller being better."""
    return np.asarray((points <= one).all(axis=1) & (points < one).any(axis=1))
