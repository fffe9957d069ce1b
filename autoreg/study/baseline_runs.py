"""The baselines of a final evaluation: run with fresh seeds, scored on validation and test data."""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from autoreg.engine.engine import Engine
from autoreg.engine.log.events import EventLog
from autoreg.engine.log.trial import Result
from autoreg.engine.settings import Strategy
from autoreg.execution import run
from autoreg.study.baselines import is_possible, small_dense_recipes
from autoreg.study.job_list import Job, OnStep, run_jobs
from autoreg.study.seed_statistics import spread, spread_by_set
from autoreg.study.task_study import TaskStudy


def score_baselines(study: TaskStudy, seeds: Sequence[int], on_step: OnStep | None) -> list[dict[str, Any]]:
    """The baselines that a study wants, each with all seeds.

    Returns:
        Rows: `name`, `config`, `metrics` and `validation` over the seeds, `test` and `test_sets`; where no seed was
        completed, `reason`.
    """
    if study.spec.baselines == "none":
        return []
    recipes = study.baselines()
    names = list(recipes)
    jobs = [Job(recipes[name], seed, True) for name in names for seed in seeds]
    results = run_jobs(study, jobs, "baselines", on_step)
    rows = [baseline_row(name, recipes[name], results[i * len(seeds) :][: len(seeds)]) for i, name in enumerate(names)]
    if study.spec.baselines == "full":
        rows += _small_dense(study, seeds, on_step)
    return rows


def baseline_row(name: str, config: Mapping[str, Any], results: Sequence[Result]) -> dict[str, Any]:
    """One baseline over its seeds."""
    own = [r for r in results if r.state == "COMPLETE"]
    row: dict[str, Any] = {"name": name, "config": dict(config), "metrics": {}, "test": None}
    if not own:
        return {**row, "reason": results[0].reason if results else "did not run"}
    validation = spread([r.metrics for r in own])
    row |= {"metrics": validation["mean"], "validation": validation}
    return {**row, **spread_by_set([r.info.test_metrics for r in own if r.info.test_metrics])}


def _small_dense(study: TaskStudy, seeds: Sequence[int], on_step: OnStep | None) -> list[dict[str, Any]]:
    """A narrower dense network trained from scratch for as many epochs, its settings chosen on validation data."""
    complete = study.objective.setup.complete
    training = complete({})["training"]
    if training["epochs"] + training["finetune_epochs"] == 0:
        return []  # a task that is never trained has no small network to train
    recipes = small_dense_recipes(complete, training, study.spec.seed)
    if not is_possible(study.objective, recipes[0]):
        return []
    what = "small dense network"
    tried = run_jobs(study, [Job(recipe, study.spec.seed, False) for recipe in recipes], what, on_step)
    scores = [r.metrics.get(study.quality, math.inf) if r.state == "COMPLETE" else math.inf for r in tried]
    best = recipes[int(np.argmin(scores))]
    results = run_jobs(study, [Job(best, seed, True) for seed in seeds], what, on_step)
    return [baseline_row("small dense from scratch", best, results)]


def random_search(study: TaskStudy, on_step: OnStep | None) -> dict[str, Any]:
    """Random search with as many trials, without screening or stopping: what chance alone would have found.

    Returns:
        `trials`, `epochs_run`, `hypervolume`, its `history`, and the `front`.
    """
    apart = study.options.folder / ".random-store"  # what the search has paid for is not free here
    options = replace(study.objective.options, store=str(apart))
    objective = study.objective.without_rungs(options, latency=study.objective.latency)

    def show(engine: Engine) -> None:
        if on_step is not None:
            summary = engine.summary()
            on_step("random search", summary["asked"] - summary["running"], summary["trials"] or summary["asked"])

    with EventLog(study.options.folder / "random.jsonl") as log:
        engine = study.engine(log, strategy=Strategy(sampler="random", prune=False, screen=False))
        run(engine, objective, **study.execution(), on_event=show)
    shutil.rmtree(apart, ignore_errors=True)
    complete = [record for record in engine.trials() if record.state == "COMPLETE"]
    front = set(engine.front())
    return {
        "trials": len(complete),
        "epochs_run": sum(record.epochs_run for record in complete),
        "hypervolume": engine.hypervolume(),
        "history": engine.history(),
        "front": [{"config": r.config, "metrics": r.metrics} for r in complete if r.number in front],
    }
