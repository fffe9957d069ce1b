"""`autoreg.engine.engine.Engine` on a table, as it stands in the source."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from autoreg.engine import Budget, Engine, Halving, Normalizer, Result
from autoreg.engine.pareto.front import Axis
from autoreg.plan import rung_epochs
from autoreg.trial_info import TrialInfo
from benchmarks.tables.arms import Task
from benchmarks.tables.table import Config, Key, key_of


class Ours:
    """Our engine with sampler auto and the cost known; where trials share phases, also what each has yet to pay."""

    sampler = "auto"
    known = True
    prune: bool | Halving = False
    more: dict[str, Any] = {}  # noqa: RUF012

    def __init__(self, task: Task) -> None:
        table = task.table
        low = float(np.exp(np.log(table.least)))
        scale = Normalizer(
            (
                Axis("error", "min", table.ideal, task.corner[1]),
                Axis("cost", "min", low, float(np.exp(task.corner[0])), log=True),
            )
        )

        def costs(config: Config) -> dict[str, float]:
            return {"cost": float(table.cost([config])[0])}

        shared: dict[str, Any] = {}
        if table.phases is not None:
            shared["group"] = functools.partial(_luck, task)
            shared |= {"price": task.bill} if task.meter.cache else {}
        if table.prefixes is not None:
            shared["uncompressed"] = table.prefix
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
            prune=self.prune,
            replicate=False,
            **{**shared, **self.more},
        )
        self.task = task
        self.pending: dict[Key, int] = {}

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
        """Tell the engine."""
        told = {"error": error, "cost": cost}
        self.engine.tell(self._number(config), Result("COMPLETE", told, self._told_besides(config)))
        del self.pending[key_of(config)]

    def chosen(self) -> list[Config]:
        """The front of what the engine believes."""
        return [self.engine.state.records[number].config for number in self.engine.incumbents()]

    def _told_besides(self, config: Config) -> TrialInfo:
        prefix = self.task.table.prefix(config)
        return TrialInfo(
            uncompressed_quality=None if prefix is None else self.task.table.observe(prefix, self.task.seed)
        )

    def _number(self, config: Config) -> int:
        """Number of the trial; the starts are the engine's starters and come in their order."""
        if key_of(config) not in self.pending:
            self.ask()
        return self.pending[key_of(config)]


def _luck(task: Task, config: Config) -> str:
    """What shares luck: the last of its longest phases, which is its own training (before it the dense network's)."""
    return max(reversed(task.bill(config)), key=lambda phase: phase[1], default=("", 0.0))[0]


class OursLearned(Ours):
    """Our engine with the cost hidden: it has to learn it from results, as other samplers do."""

    known = False


class OursUnpriced(Ours):
    """Our engine without the price of shared phases: all trials cost alike."""

    more = {"price": None}  # noqa: RUF012


class OursUntold(Ours):
    """Our engine without the quality of uncompressed prefixes."""

    more = {"uncompressed": None}  # noqa: RUF012


class OursRandomFilter(Ours):
    """Even draws with our known-cost filter alone: no TPE, no predictor."""

    sampler = "random"
    more = {"known_cost_filter": True}  # noqa: RUF012


class OursHalving(Ours):
    """Our engine with its stopping as it is by default: by the optimistic bound and by rank, at rungs 1, 3, 9, ..."""

    prune: bool | Halving = True

    def report(self, config: Config, step: int, steps: int, error: float) -> bool:
        """Report to the engine."""
        return self.engine.report(self._number(config), step, {"error": error}) == "stop"

    def stopped(self, config: Config, error: float, cost: float) -> None:
        """Tell the engine that the trial ended early."""
        done = self.task.meter.finished(self.task.table.row(config))
        told = Result("PRUNED", {"error": error, "cost": cost}, TrialInfo(phase_fractions=done))
        self.engine.tell(self._number(config), told)
        del self.pending[key_of(config)]


class OursBound(OursHalving):
    """Stopping as built-in tasks have it with `--stop-early`: by the optimistic bound alone, at their rungs."""

    prune = Halving(every=True)

    def report(self, config: Config, step: int, steps: int, error: float) -> bool:
        """Report to the engine after 1/9 and 1/3 of the training and its end, as tasks do."""
        return step in rung_epochs(steps - 1) and super().report(config, step, steps, error)
