"""LINAS: predict, search the predictor with NSGA-II, measure the best, repeat.

Cummings et al., "A hardware-aware framework for accelerating neural architecture search across modalities", 2022,
arXiv 2205.10358 (catalogue 248). Differs from the paper where the comparison asks for it: cost is exact instead of
predicted, and a batch measures ten recipes. The predictor is ridge regression on encoded recipes, its target the normal
scores of the errors.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from autoreg.engine.pareto.front import nondominated
from autoreg.engine.surrogate.boosted_trees import RankGaussian
from autoreg.space.nodes import Range
from benchmarks.tables.arms import Base, Task
from benchmarks.tables.table import Config, Floats

POPULATION = 50
GENERATIONS = 20
MEASURED = 10

Rows = NDArray[np.int64]


class Linas(Base):
    """Batches of ten, the most spread out of the front that NSGA-II finds on the predictor."""

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self.queue: list[int] = []

    def ask(self) -> Config | None:
        """The next of the batch; an empty batch is filled by a search on the predictor."""
        if not self.queue:
            self.queue = self.batch()
        return self.task.table.configs[self.queue.pop(0)] if self.queue else None

    def batch(self) -> list[int]:
        """Search the predictor and choose recipes that were not tried."""
        table = self.task.table
        columns = np.nan_to_num(table.encoded, nan=-1.0)  # what is not active
        model = make_pipeline(StandardScaler(), Ridge(3.0)).fit(
            columns[self.rows], RankGaussian(self.y).forward(self.y)
        )

        def values(rows: Rows) -> Floats:
            return np.column_stack([model.predict(columns[rows]), np.log(table.costs[rows])])

        fresh = self.rng.choice(len(table), size=POPULATION, replace=False)
        front = np.asarray(self.rows)[nondominated(np.column_stack([self.y, self.log_costs]))]
        population = np.unique(np.concatenate([front, fresh]))
        scores = values(population)
        for _ in range(GENERATIONS):
            order = select(scores)[:POPULATION]
            population, scores = population[order], scores[order]
            children = np.setdiff1d(self.children(population), population)
            population = np.concatenate([population, children])
            scores = np.vstack([scores, values(children)]) if len(children) else scores
        new = ~np.isin(population, self.rows)
        population, scores = population[new], scores[new]
        return [int(r) for r in population[select(scores)[:MEASURED]]]

    def children(self, parents: Rows) -> Rows:
        """As many children as there are parents; parents stand from best to worst."""
        table, out = self.task.table, []
        for _ in range(POPULATION):
            first, second = (parents[self.rng.integers(len(parents), size=2).min()] for _ in range(2))
            flats = [table.space.flatten(table.configs[int(r)]) for r in (first, second)]
            child = self.child(flats[0], flats[1])
            if table.space.allowed(child):
                out.append(table.row(child))
        return np.unique(np.array(out, dtype=np.int64))

    def child(self, first: Mapping[str, Any], second: Mapping[str, Any]) -> Config:
        """Uniform crossover; each parameter is drawn anew with a chance of one in their number."""
        rate = 1 / max(len(first), 1)

        def choose(path: str, domain: Any) -> Any:
            mother, father = (first, second) if self.rng.random() < 0.5 else (second, first)
            known = mother.get(path, father.get(path))
            if known is not None and self.rng.random() >= rate:
                return known
            if not isinstance(domain, Range):
                return domain[int(self.rng.integers(len(domain)))]
            low, high = domain.low, domain.high
            if domain.is_int and not domain.is_log:
                return int(self.rng.integers(int(low), int(high) + 1))
            drawn = self.rng.uniform(np.log(low), np.log(high)) if domain.is_log else self.rng.uniform(low, high)
            return float(np.exp(drawn)) if domain.is_log else float(drawn)

        config: Config = self.task.table.space.build(choose)
        return config


def select(values: Floats) -> Rows:
    """Order of NSGA-II: by non-dominated rank, then the larger crowding distance [n]."""
    level, left = np.zeros(len(values), dtype=int), np.arange(len(values))
    rank = 0
    while len(left):
        best = nondominated(values[left])
        level[left[best]] = rank
        left, rank = left[~best], rank + 1
    crowd = np.zeros(len(values))
    for k in range(rank):
        members = np.flatnonzero(level == k)
        for column in values[members].T:
            by = members[np.argsort(column, kind="stable")]
            spread = max(float(np.ptp(column)), 1e-12)
            crowd[by[[0, -1]]] = np.inf
            inner = np.sort(column)
            crowd[by[1:-1]] += (inner[2:] - inner[:-2]) / spread
    return np.asarray(np.lexsort((-crowd, level)), dtype=np.int64)
