"""What all arms of "joint against sequential" share: the clock, a fresh store, trials as they end, the test at the end.

Seconds are those of work (`premise_clock.py`), so that neighbours on the machine distort them little. Reading data,
looking at the network and importing libraries is not counted; training, scoring, reading and writing stored phases,
and whatever an engine thinks between two trials, is. No trial begins after the seconds are over; the one that runs
is finished and counts.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import moocore
import numpy as np

from autoreg.engine.log.trial import Trial
from autoreg.trial.objective import TaskObjective
from autoreg.trial.reference import Reference
from autoreg.trial.resolve import resolve_network
from autoreg.trial.setup import TrialOptions
from autoreg.trial.task_ref import TaskRef
from benchmarks.premise_clock import WorkClock
from benchmarks.premise_tasks import Case
from benchmarks.tables.staircase import staircase

Recipe = dict[str, Any]
COSTS = ("bytes", "flops", "bops", "effective_flops", "weights")


@dataclass(frozen=True)
class Done:
    """One trial that ended.

    Attributes:
        recipe: what was carried out, complete.
        width: of the network that it was applied to.
        stage: which part of its arm asked for it.
        at: seconds into the arm when it ended.
        state: COMPLETE, PRUNED, FAIL, or REPLICATE of a complete trial with another seed than the arm's.
        error: on validation; NaN unless complete.
        costs: by name.
        notes: of the trial, such as a cost that was predicted wrongly.
    """

    recipe: Recipe
    width: int
    stage: str
    at: float
    state: str
    error: float
    costs: Mapping[str, float]
    notes: tuple[str, ...] = ()


class Objective(TaskObjective):
    """Evaluates recipes; once a training is `tuned`, levels are resolved on the network that it gave."""

    tuned: Mapping[str, Any] | None = None
    _own: Reference | None = None

    @property
    def reference(self) -> Reference:
        """The dense network that allocations look at: by the task's own training, or by the tuned one."""
        if self.tuned is None:
            return super().reference
        if self._own is None:
            model = self.dense_chain(self.tuned).trained().model
            self._own = Reference(self.setup, lambda: model)
        return self._own

    def latency_of(self, recipe: Mapping[str, Any]) -> float:
        """Milliseconds of the exported network, timed on this machine once per architecture."""
        return self._latency(recipe, *resolve_network(recipe, self.reference)).ms


@dataclass
class Bench:
    """One arm at work on one seed.

    Args:
        case: the task.
        files: parameters of the task that say where its data is.
        seed: of the search and of every trial.
        seconds: that the arm may spend.
        folder: for the store; empty.
        clock: of the arm's work.
    """

    case: Case
    files: Mapping[str, str]
    seed: int
    seconds: float
    folder: Path
    clock: WorkClock = field(default_factory=WorkClock)
    done: list[Done] = field(default_factory=list)
    spent: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._objectives: dict[int, Objective] = {}

    def now(self) -> float:
        """Seconds that the arm has spent."""
        return self.clock()

    def over(self, until: float = math.inf) -> bool:
        """Whether the arm's seconds, or those until some moment, are over."""
        return self.now() >= min(until, self.seconds)

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Note what a part of the arm spent."""
        begun = self.now()
        try:
            yield
        finally:
            self.spent[name] = round(self.spent.get(name, 0.0) + self.now() - begun, 3)

    def ref(self, width: int) -> TaskRef:
        """The task with a network of some width."""
        return TaskRef(self.case.task, {**self.case.params, **self.files, "width": width})

    def options(self) -> TrialOptions:
        """Everything is kept in this arm's own store; one thread on the CPU."""
        return TrialOptions(str(self.folder / "store"), device="cpu", threads=1, reference_seed=self.seed)

    def objective(self, width: int | None = None) -> Objective:
        """The objective for a network of some width (the dense one by default), made ready once."""
        width = width or self.case.width
        if width not in self._objectives:
            with self.clock.uncounted():
                made = Objective(self.ref(width), self.options(), latency=False)
                make_ready(made)
            self._objectives[width] = made
        return self._objectives[width]

    def watched(self, objective: TaskObjective, stage: str, width: int) -> Callable[[Recipe, Trial], dict[str, float]]:
        """An objective whose trials are noted as they end."""

        def evaluate(recipe: Recipe, trial: Trial) -> dict[str, float]:
            state, metrics = "FAIL", {}
            try:
                metrics = objective(recipe, trial)
                ended = "COMPLETE" if trial.seed == self.seed else "REPLICATE"  # the front is that of one seed's runs
                state = "PRUNED" if trial.should_stop() else ended
            finally:
                error = metrics[self.case.quality] if state == "COMPLETE" else math.nan
                costs = {name: metrics[name] for name in COSTS if name in metrics}
                notes = tuple(trial.info.notes)
                self.done.append(Done(recipe, width, stage, round(self.now(), 3), state, error, costs, notes))
            return metrics

        return evaluate

    def carry_out(self, recipe: Recipe, stage: str, width: int | None = None) -> Done:
        """Carry a recipe out to its end; a training that diverges is noted as failed."""
        objective = self.objective(width)
        with contextlib.suppress(ArithmeticError):
            self.watched(objective, stage, width or self.case.width)(recipe, Trial(seed=self.seed))
        return self.done[-1]

    def tested(self, member: Done) -> dict[str, float]:
        """Error of a finished trial's models by test set; for the end of an arm, with the store warm."""
        objective = self.objective(member.width)
        objective.rungs = False
        trial = Trial(seed=self.seed)
        metrics = objective.evaluate(member.recipe, trial, test=True)
        quality = self.case.quality
        if metrics[quality] != member.error:
            raise AssertionError(f"validation {quality} {metrics[quality]} is not {member.error}, as it was before")
        return {name: found[quality] for name, found in trial.info.test_metrics.items()}

    def timed(self) -> list[Done]:
        """The complete trials that may be on the front of latency, with the measured `latency_ms` of each.

        Those that no other one dominates by error, bytes, FLOPs and bit-operations at once; the untrained network of
        each is exported and timed as in a search, which is not counted: no arm is told.
        """
        whole = [d for d in self.done if d.state == "COMPLETE"]
        if not whole:
            return []
        values = [[d.error, *(d.costs[name] for name in ("bytes", "flops", "bops"))] for d in whole]
        best = moocore.is_nondominated(np.array(values, dtype=float), keep_weakly=False)
        found = []
        with self.clock.uncounted():
            for member in (d for d, stays in zip(whole, best, strict=True) if stays):
                objective = self.objective(member.width)
                latency = objective.latency_of(member.recipe)
                found.append(replace(member, costs={**member.costs, "latency_ms": latency}))
        return found


def make_ready(objective: TaskObjective) -> None:
    """Read the data and look at the network."""
    setup = objective.setup
    for fold in setup.task.folds:
        setup.loaders(fold)
    _ = setup.profile, setup.base, setup.dense


def front(done: list[Done], cost: str) -> list[Done]:
    """The complete trials that no other one dominates by validation error and a cost, by rising cost."""
    whole = [d for d in done if d.state == "COMPLETE"]
    steps = zip(*staircase([d.costs[cost] for d in whole], [d.error for d in whole]), strict=True)
    first = {(d.costs[cost], d.error): d for d in reversed(whole)}
    return [first[(float(c), float(e))] for c, e in steps]
