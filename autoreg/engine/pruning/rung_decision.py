"""What the pruner needs to know about a trial at a rung, read from the state of a study."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from autoreg.engine import summary
from autoreg.engine.acquisition.shared_cost import SharedWorkLedger
from autoreg.engine.log.records import Record, StudyState
from autoreg.engine.problem import Problem
from autoreg.engine.pruning.halving import Decision, Halving

MIN_REMAINING_SHARE = 0.1
"""A trial of whose work others have done all but less than this share is never stopped."""


class RungDecider:
    """Decides at rungs, for one study.

    Args:
        halving: The rules.
        problem: The study.
        seed: Seed of the study, which draws the audits.
        group: Label of what shares the noise of a seed, such as a training; None: every trial has its own.
        trained_after: Label of what a config trains after the rungs; a trial's end is forecast from those of its label.
            None: all have the same.
        rung_stage: Label of where in its training a config is at a step; a trial is compared with those of its label.
            None: the step says it all.
        ledger: Which work has been done; None where trials share none.
    """

    def __init__(
        self,
        halving: Halving,
        problem: Problem,
        seed: int,
        *,
        group: Callable[[Record], str] | None = None,
        trained_after: Callable[[dict[str, Any]], str] | None = None,
        rung_stage: Callable[[dict[str, Any], int], str] | None = None,
        ledger: SharedWorkLedger | None = None,
    ) -> None:
        self._halving, self._problem, self._seed = halving, problem, seed
        self._group, self._trained_after, self._rung_stage, self._ledger = group, trained_after, rung_stage, ledger

    def decide(self, state: StudyState, record: Record, step: int, metrics: Mapping[str, float]) -> Decision:
        """Decide about a trial that reports `metrics` after `step`.

        Nothing is decided between rungs, for a trial that is audited, and for one of which others have done nearly all:
        a stop would save nothing, and a result would be lost. Objectives that are neither reported nor known in advance
        are left out of the comparison; without the quality there is none.

        Args:
            state: What happened so far.
            record: The trial.
            step: Where it is.
            metrics: What it reports there.
        """
        earlier = [r.step for r in record.reports]
        if record.audited or not self._halving.is_rung(step, earlier) or not self._saves_work(state, record):
            return Decision(False)
        problem = self._problem
        names = _comparable(problem, record, metrics)
        if problem.quality not in names:
            return Decision(False)
        columns = [problem.names.index(name) for name in names]
        signs = problem.signs[columns]
        own = _point(names, problem, record, metrics)
        counted = problem.front_candidates(state)
        sign = problem.signs[problem.names.index(problem.quality)]
        label, stage = self._label(record), self._stage(record, step)
        alike = [
            (r, report.metrics[problem.quality])
            for r in state.complete()
            if (report := r.at(step)) is not None
            and problem.quality in report.metrics
            and (self._label(r), self._stage(r, step)) == (label, stage)
        ]
        decision = self._halving.decide(
            np.array(own) * signs,
            np.array(self._others(names, state, record, step)).reshape(-1, len(names)) * signs,
            quality=names.index(problem.quality),
            finished=[(sign * at, sign * r.metrics[problem.quality]) for r, at in alike],
            groups=None if self._group is None else [f"{r.seed} {self._group(r)}" for r, _ in alike],
            finals=problem.pessimistic_table(counted)[:, columns] * signs,
            wrong=_wrong(problem, state),
        )
        if decision.stop and self._halving.audits(self._seed, record.number):
            return Decision(False, decision.reason, audit=True)
        return decision

    def _label(self, record: Record) -> str:
        return "" if self._trained_after is None else self._trained_after(record.config)

    def _stage(self, record: Record, step: int) -> str:
        return "" if self._rung_stage is None else self._rung_stage(record.config, step)

    def _others(self, names: list[str], state: StudyState, record: Record, step: int) -> list[tuple[float, ...]]:
        """Objectives of the other trials at this rung, in the order of their reports; failed trials left out."""
        points, stage = [], self._stage(record, step)
        for number in state.rungs.get(step, ()):
            other = state.records[number]
            report = other.at(step)
            if report is None or other.state == "FAIL" or number == record.number:
                continue
            point = _point(names, self._problem, other, report.metrics)
            if point is not None and self._stage(other, step) == stage:
                points.append(point)
        return points

    def _saves_work(self, state: StudyState, record: Record) -> bool:
        """Whether enough of a trial's work remains for a stop to save something."""
        if self._ledger is None:
            return True
        costs = self._ledger.phase_costs(record.config)
        remaining = self._ledger.update(state).remaining(record.config, record.seed)
        return sum(epochs for _, epochs in remaining) >= MIN_REMAINING_SHARE * sum(cost[1] for cost in costs)


def _wrong(problem: Problem, state: StudyState) -> int:
    """How many stops audits have shown to be wrong."""
    if not any(r.audited for r in state.records):
        return 0
    return summary.audit(problem, state)["wrong"]


def _comparable(problem: Problem, record: Record, metrics: Mapping[str, float]) -> list[str]:
    """Objectives that are known of a trial at a rung: reported there, or known before it ran."""
    return [name for name in problem.names if name in metrics or (name in record.costs and name != problem.quality)]


def _point(
    names: list[str], problem: Problem, record: Record, metrics: Mapping[str, float]
) -> tuple[float, ...] | None:
    known = {**metrics, **{k: v for k, v in record.costs.items() if k != problem.quality}}
    return tuple(float(known[n]) for n in names) if all(n in known for n in names) else None
