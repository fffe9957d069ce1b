"""Recipes with given seeds, run by an executor in place of a search."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from autoreg.engine.log.trial import Ask, Result, Trial
from autoreg.execution import run
from autoreg.study.task_study import TaskStudy

OnStep = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and of how much."""


@dataclass(frozen=True)
class Job:
    """One recipe to run with one seed, and whether it is scored on test data."""

    config: Mapping[str, Any]
    seed: int
    test: bool


class JobList:
    """Hands out jobs and collects results; what an executor drives in place of an engine.

    Args:
        jobs: what is run.
        objectives: names of the metrics without which a result is worth nothing.
        on_step: called with how many jobs are done, and of how many.
    """

    def __init__(
        self, jobs: Sequence[Job], objectives: Sequence[str], on_step: Callable[[int, int], None] | None = None
    ) -> None:
        self.jobs = list(jobs)
        self._objectives = tuple(objectives)
        self.results: dict[int, Result] = {}
        self._next = 0
        self._on_step = on_step

    def ask(self) -> Ask | None:
        """The next job, None when all were handed out."""
        if self._next == len(self.jobs):
            return None
        number = self._next
        job = self.jobs[number]
        self._next += 1
        return Ask(number, {"recipe": dict(job.config), "test": job.test}, job.seed, "final")

    def report(self, number: int, step: int, metrics: Mapping[str, float]) -> str:
        """Jobs are never stopped."""
        return "continue"

    def tell(self, number: int, result: Result) -> None:
        """Store a result, as `finite_result` records it."""
        self.results[number] = finite_result(result, self._objectives)
        if self._on_step is not None:
            self._on_step(len(self.results), len(self.jobs))


def finite_result(result: Result, objectives: Sequence[str]) -> Result:
    """A result without metrics that are no finite numbers, those on test data too, as an engine records it.

    FAIL where a complete one has an objective that is not finite. One that is missing is no failure: a network may not
    be timed with some seed.
    """
    info = replace(result.info, test_metrics={k: _finite(v) for k, v in result.info.test_metrics.items()})
    found = replace(result, metrics=_finite(result.metrics), info=info)
    lost = [name for name in objectives if name in result.metrics and name not in found.metrics]
    if result.state != "COMPLETE" or not lost:
        return found
    reason = f"objective {lost[0]!r} is {result.metrics[lost[0]]}, which is no finite number"
    return replace(found, state="FAIL", reason=reason)


def _finite(metrics: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in metrics.items() if math.isfinite(value)}


class JobObjective:
    """Runs a job: validation metrics as the result, test metrics in the record."""

    def __init__(self, objective: Any) -> None:
        self.objective = objective

    def warm_up(self) -> None:
        """As that of the objective."""
        self.objective.warm_up()

    def __call__(self, config: Mapping[str, Any], trial: Trial) -> dict[str, float]:
        """Validation metrics of the job's recipe; its test metrics, where it has any, go into the trial's info."""
        metrics: dict[str, float] = self.objective.evaluate(config["recipe"], trial, test=config["test"])
        return metrics


def run_jobs(study: TaskStudy, jobs: Sequence[Job], what: str, on_step: OnStep | None) -> list[Result]:
    """Run jobs with the executor of a study.

    Args:
        study: gives objective and executor.
        jobs: what is run.
        what: name of the work, for `on_step`.
        on_step: shown the progress.

    Returns:
        A result for each job, in order; FAIL where an executor has lost one.
    """
    step = None if on_step is None else (lambda done, total: on_step(what, done, total))
    listed = JobList(jobs, list(study.spec.objectives), step)
    objective = study.objective.without_rungs()
    run(listed, JobObjective(objective), **study.execution())
    missing = Result("FAIL", reason="did not run")
    return [listed.results.get(number, missing) for number in range(len(jobs))]
