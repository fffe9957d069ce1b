"""Random search, and the cost-only baseline: an isotonic error in cost, which knows nothing but that small is bad."""

from __future__ import annotations

import numpy as np
from sklearn.isotonic import IsotonicRegression

from benchmarks.tables import staircase
from benchmarks.tables.arms import Base
from benchmarks.tables.table import Config, Floats

POOL = 2000
"""Candidates that are drawn evenly for each proposal."""


class Random(Base):
    """Draws evenly."""

    def ask(self) -> Config | None:
        """Any recipe of the space."""
        return self.task.table.space.sample(self.rng)


def isotonic(log_costs: Floats, errors: Floats, wanted: Floats) -> tuple[Floats, float]:
    """Mean error at each of the wanted log costs [k] by isotonic regression, and the spread about it."""
    line = IsotonicRegression(increasing=False, out_of_bounds="clip").fit(log_costs, errors)
    free = max(len(errors) - len(np.unique(line.predict(log_costs))), 1)
    spread = float(np.sqrt(((line.predict(log_costs) - errors) ** 2).sum() / free))
    return np.asarray(line.predict(wanted)), spread


class Isotonic(Base):
    """The largest expected hypervolume improvement under an isotonic error in cost; ties at random."""

    def ask(self) -> Config | None:
        """The best of an even pool."""
        table = self.task.table
        pool = self.rng.choice(len(table), size=min(POOL, len(table)), replace=False)
        pool = np.setdiff1d(pool, self.rows)
        wanted = np.log(table.costs[pool])
        mean, spread = isotonic(self.log_costs, self.y, wanted)
        gain = staircase.expected(wanted, mean, np.full(len(pool), spread), (self.log_costs, self.y), self.task.corner)
        return table.configs[int(pool[self.rng.choice(np.flatnonzero(gain == gain.max()))])]
