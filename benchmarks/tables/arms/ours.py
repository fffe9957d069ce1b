"""`autoreg.engine.engine.Engine` on a table, as it stands in the source."""

from __future__ import annotations

import functools
from dataclasses import replace

import numpy as np

from autoreg.engine import Budget, Engine, Halving, Normalizer, Problem, Result, SharedWork, Strategy
from autoreg.engine.pareto.front import Axis
from autoreg.training_length import rung_epochs, trained_after
from autoreg.trial_info import TrialInfo
from benchmarks.tables.arms import Task
from benchmarks.tables.table import Config, Key, key_of


def _trained_after(config: Config) -> str:
    """As of a complete recipe; a table's config may lack what its table does not vary."""
    training, quantization = (
        part if isinstance(part := config.get(k), dict) else {} for k in ("training", "quantization")
    )
    return trained_after(
        {"training": {"finetune_epochs": 0, **training}, "quantization": {"quantizer": "", **quantization}}
    )


class Ours:
    """Our engine with sampler auto and the cost known; where trials share phases, also what each has yet to pay."""

    strategy = Strategy(prune=False, reevaluate=False)
    known = True
    shares_work = True
    shares_prefixes = True

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

        shared = SharedWork(
            phase_costs=task.phase_costs
            if table.phases is not None and task.meter.cache and self.shares_work
            else None,
            group=None if table.phases is None else functools.partial(_training_of, task),
            trained_after=None if table.phases is None else _trained_after,
            uncompressed=table.prefix if table.prefixes is not None and self.shares_prefixes else None,
        )
        objectives = {"error": "min", "cost": "min"}
        self.engine = Engine(
            Problem(table.space, objectives, "error", costs=costs if self.known else None),
            normalizer=scale,
            budget=Budget(trials=task.trials),
            seed=task.seed,
            strategy=replace(self.strategy, starters=[("start", config) for config in task.starts]),
            shared_work=shared,
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
        values = {"error": error, "cost": cost}
        self.engine.tell(self._number(config), Result("COMPLETE", values, self._extra_info(config)))
        del self.pending[key_of(config)]

    def chosen(self) -> list[Config]:
        """The front of posterior means."""
        return [self.engine.state.records[number].config for number in self.engine.incumbents()]

    def _extra_info(self, config: Config) -> TrialInfo:
        prefix = self.task.table.prefix(config)
        return TrialInfo(
            uncompressed_quality=None if prefix is None else self.task.table.observe(prefix, self.task.seed)
        )

    def _number(self, config: Config) -> int:
        """Number of the trial; the starts are the engine's starters and come in their order."""
        if key_of(config) not in self.pending:
            self.ask()
        return self.pending[key_of(config)]


def _training_of(task: Task, config: Config) -> str:
    """The training of a recipe, which runs share that vary alike with the seed: the last of its longest phases."""
    return max(reversed(task.phase_costs(config)), key=lambda phase: phase[1], default=("", 0.0))[0]


class OursLearned(Ours):
    """Our engine with the cost hidden: it has to learn it from results, as other samplers do."""

    known = False


class OursUnpriced(Ours):
    """Our engine without the costs of shared phases: all trials cost alike."""

    shares_work = False


class OursNoPrefix(Ours):
    """Our engine without the quality of uncompressed prefixes."""

    shares_prefixes = False


class OursRandomFilter(Ours):
    """Even draws with our known-cost filter alone: no TPE, no predictor."""

    strategy = replace(Ours.strategy, sampler="random", known_cost_filter=True)


class OursHalving(Ours):
    """Our engine with its stopping as it is by default: by the optimistic bound and by rank, at rungs 1, 3, 9, ..."""

    strategy = replace(Ours.strategy, prune=True)

    def report(self, config: Config, step: int, steps: int, error: float) -> bool:
        """Report to the engine."""
        return self.engine.report(self._number(config), step, {"error": error}) == "stop"

    def stopped(self, config: Config, error: float, cost: float) -> None:
        """Tell the engine that the trial ended early."""
        done = self.task.meter.finished(self.task.table.row(config))
        values = Result("PRUNED", {"error": error, "cost": cost}, TrialInfo(phase_fractions=done))
        self.engine.tell(self._number(config), values)
        del self.pending[key_of(config)]


class OursBound(OursHalving):
    """Stopping as built-in tasks have it with `--stop-early`: by the optimistic bound alone, at their rungs."""

    strategy = replace(Ours.strategy, prune=Halving(every_report_is_rung=True))

    def report(self, config: Config, step: int, steps: int, error: float) -> bool:
        """Report to the engine after 1/9 and 1/3 of the training and its end, as tasks do."""
        return step in rung_epochs({"epochs": steps - 1}) and super().report(config, step, steps, error)
