"""`autoreg.search.engine.Engine` on a table, as it stands in the source."""

from __future__ import annotations

from typing import Any

import numpy as np

from autoreg.search import Budget, Engine, Normalizer, Result
from autoreg.search.front import Axis
from benchmarks.tables.arms import Task
from benchmarks.tables.table import Config, key_of


class Ours:
    """Our engine with sampler auto and the cost known. Trials are not stopped: the tables have no curves."""

    sampler = "auto"
    known = True
    more: dict[str, Any] = {}  # noqa: RUF012

    def __init__(self, task: Task) -> None:
        table = task.table
        low = float(np.exp(np.log(table.costs).min()))
        scale = Normalizer(
            (
                Axis("error", "min", table.ideal, task.corner[1]),
                Axis("cost", "min", low, float(np.exp(task.corner[0])), log=True),
            )
        )

        def costs(config: Config) -> dict[str, float]:
            return {"cost": float(table.cost([config])[0])}

        self.engine = Engine(
            table.space,
            {"error": "min", "cost": "min"},
            quality="error",
            costs=costs if self.known else None,
            normalizer=scale,
            budget=Budget(trials=task.trials),
            seed=task.seed,
            sampler=self.sampler,
            starters=[("start", config) for config in task.starts],
            prune=False,
            **self.more,
        )
        self.pending: dict[Any, int] = {}

    def ask(self) -> Config | None:
        """The engine's next recipe."""
        asked = self.engine.ask()
        if asked is None:
            return None
        self.pending[key_of(asked.config)] = asked.number
        return asked.config

    def repeated(self, config: Config) -> None:
        """The engine dedupes by itself."""
        raise AssertionError(f"the engine asked twice for {config}")

    def tell(self, config: Config, error: float, cost: float) -> None:
        """Tell the engine; the starts are its starters and come in their order."""
        if key_of(config) not in self.pending:
            self.ask()
        self.engine.tell(self.pending.pop(key_of(config)), Result("COMPLETE", {"error": error, "cost": cost}))


class OursLearned(Ours):
    """Our engine with the cost hidden: it has to learn it from results, as other samplers do."""

    known = False


class OursRandomFilter(Ours):
    """Even draws with our known-cost filter alone: no TPE, no predictor."""

    sampler = "random"
    more = {"known_cost_filter": True}  # noqa: RUF012
