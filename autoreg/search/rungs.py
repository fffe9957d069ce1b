"""What the pruner needs to know about a trial at a rung, read from the state of a study."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from autoreg.search.problem import Problem
from autoreg.search.pruner import Decision, Halving
from autoreg.search.records import Record, State


def decide_at(
    halving: Halving, problem: Problem, state: State, record: Record, step: int, metrics: Mapping[str, float], seed: int
) -> Decision:
    """Decide about a trial that reports `metrics` after `step`.

    Nothing is decided between rungs, for a trial that is audited, and where an objective is
    neither reported nor known in advance: nothing is stopped blindly.
    """
    if not halving.is_rung(step) or record.audited:
        return Decision(False)
    own = _point(problem, record, metrics)
    if own is None:
        return Decision(False)
    quality = problem.quality
    column = problem.names.index(quality)
    counted = problem.counted(state)
    improvements = [
        problem.signs[column] * (report.metrics[quality] - r.metrics[quality])
        for r in counted
        if (report := r.at(step)) is not None and quality in report.metrics
    ]
    decision = halving.decide(
        np.array(own) * problem.signs,
        np.array(_others(problem, state, record, step)).reshape(-1, len(own)) * problem.signs,
        quality=column,
        improvements=improvements,
        finals=problem.table(counted) * problem.signs,
    )
    if decision.stop and halving.audits(seed, record.number):
        return Decision(False, decision.reason, audit=True)
    return decision


def _others(problem: Problem, state: State, record: Record, step: int) -> list[tuple[float, ...]]:
    """Objectives of the other trials at this rung, in the order of their reports; failed trials left out."""
    points = []
    for number in state.rungs.get(step, ()):
        other = state.records[number]
        report = other.at(step)
        if report is None or other.state == "FAIL" or number == record.number:
            continue
        point = _point(problem, other, report.metrics)
        if point is not None:
            points.append(point)
    return points


def _point(problem: Problem, record: Record, metrics: Mapping[str, float]) -> tuple[float, ...] | None:
    known = {k: v for k, v in record.costs.items() if k != problem.quality}
    return problem.values({**metrics, **known})
