"""The baselines of a final evaluation: run with fresh seeds, scored on validation and test data."""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from autoreg.engine.engine import Engine
from autoreg.engine.log.events import EventLog
from autoreg.engine.log.trial import Result
from autoreg.engine.settings import Strategy
from autoreg.execution import run
from autoreg.report.data.final_results import Baseline, RandomSearch
from autoreg.space import Budget
from autoreg.study.baselines import is_possible, small_dense_recipes
from autoreg.study.job_list import Job, OnStep, run_jobs
from autoreg.study.seed_statistics import spread, spread_by_set
from autoreg.study.task_study import TaskStudy


@dataclass(frozen=True)
class BaselineRuns:
    """The recipes that a study is compared with.

    Args:
        study: what was searched.
        seeds: that each runs with.
        on_step: shown the progress.
    """

    study: TaskStudy
    seeds: Sequence[int]
    on_step: OnStep | None = None

    def recipes(self) -> dict[str, dict[str, Any]]:
        """Those whose recipes are known without training, by name: none, the default ones, or all of them."""
        return {} if self.study.spec.baselines == "none" else self.study.baselines()

    def run(self) -> list[Baseline]:
        """Each with all seeds, scored on validation and test data."""
        recipes = self.recipes()
        names, count = list(recipes), len(self.seeds)
        jobs = [Job(recipes[name], seed, True) for name in names for seed in self.seeds]
        results = run_jobs(self.study, jobs, "baselines", self.on_step)
        rows = [baseline_of(name, recipes[name], results[i * count :][:count]) for i, name in enumerate(names)]
        return rows + self._small_dense() if self.study.spec.baselines == "full" else rows

    def _small_dense(self) -> list[Baseline]:
        """A narrower dense network trained from scratch for as many epochs, its settings chosen on validation data."""
        study = self.study
        complete = study.objective.setup.complete
        training = complete({})["training"]
        if training["epochs"] + training["finetune_epochs"] == 0:
            return []  # a task that is never trained has no small network to train
        recipes = small_dense_recipes(complete, training, study.spec.seed)
        if not is_possible(study.objective, recipes[0]):
            return []
        what = "small dense network"
        tried = run_jobs(study, [Job(recipe, study.spec.seed, False) for recipe in recipes], what, self.on_step)
        scores = [r.metrics.get(study.quality, math.inf) if r.state == "COMPLETE" else math.inf for r in tried]
        best = recipes[int(np.argmin(scores))]
        results = run_jobs(study, [Job(best, seed, True) for seed in self.seeds], what, self.on_step)
        return [baseline_of("small dense from scratch", best, results)]


def baseline_of(name: str, config: Mapping[str, Any], results: Sequence[Result]) -> Baseline:
    """One baseline over its seeds."""
    own = [r for r in results if r.state == "COMPLETE"]
    if not own:
        return Baseline(name, dict(config), reason=(results[0].reason if results else "") or "did not run")
    validation = spread([r.metrics for r in own])
    test, sets = spread_by_set([r.info.test_metrics for r in own if r.info.test_metrics])
    return Baseline(
        name,
        dict(config),
        metrics=validation.mean,
        validation=validation,
        test=test,
        test_sets=sets,
        layers=tuple(own[0].info.layers),
    )


def random_search(study: TaskStudy, search: Engine, on_step: OnStep | None) -> RandomSearch:
    """Random search without screening or stopping, at the cost of the search: what chance alone would have found.

    It ends when it has run as many epochs as the search, or has taken as many seconds, whichever comes first.
    """
    apart = study.options.folder / ".random-store"  # what the search has paid for is not free here
    options = replace(study.objective.options, store=str(apart))
    objective = study.objective.without_rungs(options, latency=study.objective.latency)

    def show(engine: Engine) -> None:
        if on_step is not None:
            summary = engine.summary()
            on_step("random search", summary["asked"] - summary["running"], max(summary["asked"], 1))

    with EventLog(study.options.folder / "random.jsonl") as log:
        engine = study.engine(log, strategy=Strategy(sampler="random", prune=False, screen=False), budget=_cost(search))
        run(engine, objective, **study.execution(), on_event=show)
        seconds = engine.state.seconds
    shutil.rmtree(apart, ignore_errors=True)
    complete = [record for record in engine.trials() if record.state == "COMPLETE"]
    front = set(engine.front())
    return RandomSearch(
        trials=len(complete),
        epochs_run=sum(record.epochs_run for record in complete),
        seconds=seconds,
        hypervolume=engine.hypervolume(),
        history=tuple(engine.history()),
        front=tuple({"config": r.config, "metrics": r.metrics} for r in complete if r.number in front),
    )


def _cost(search: Engine) -> Budget:
    """What a search took, as a budget; a search that never trained is bounded by its seconds alone."""
    epochs = sum(record.epochs_run for record in search.trials())
    return Budget(minutes=search.state.seconds / 60, epochs=epochs or None)
