"""What the pruner needs to know about a trial at a rung, read from the state of a study."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from autoreg.search.problem import Problem
from autoreg.search.pruner import Decision, Halving
from autoreg.search.records import Record, State


def decide_at(
    halving: Halving, problem: Problem, state: State, record: Record, step: int, metrics: Mapping[str, float], seed: int
) -> Decision:
    """Decide about a trial that reports `metrics` after `step`.

    Nothing is decided between rungs and for a trial that is audited. Objectives that are neither reported nor known
    in advance are left out of the comparison; without the quality there is none.
    """
    earlier = [r.step for r in record.reports]
    if record.audited or not halving.is_rung(step, earlier):
        return Decision(False)
    names = _comparable(problem, record, metrics)
    if problem.quality not in names:
        return Decision(False)
    columns = [problem.names.index(name) for name in names]
    signs = problem.signs[columns]
    own = _point(names, problem, record, metrics)
    counted = problem.counted(state)
    sign = problem.signs[problem.names.index(problem.quality)]
    finished = [
        (sign * report.metrics[problem.quality], sign * r.metrics[problem.quality])
        for r in state.complete()
        if (report := r.at(step)) is not None
        and problem.quality in report.metrics
        and structure(r.config) == structure(record.config)
    ]
    decision = halving.decide(
        np.array(own) * signs,
        np.array(_others(names, problem, state, record, step)).reshape(-1, len(names)) * signs,
        quality=names.index(problem.quality),
        finished=finished,
        finals=problem.cautious(counted)[:, columns] * signs,
        wrong=_wrong(problem, state),
    )
    if decision.stop and halving.audits(seed, record.number):
        return Decision(False, decision.reason, audit=True)
    return decision


def structure(config: Mapping[str, Any]) -> str:
    """What of a network is removed: the label of `sparsity`, by which rungs and ends are related; "" without one."""
    found = config.get("sparsity", "")
    return str(next(iter(found), "")) if isinstance(found, Mapping) else str(found)


def _wrong(problem: Problem, state: State) -> int:
    """How many stops audits have shown to be wrong."""
    if not any(r.audited for r in state.records):
        return 0
    from autoreg.search import figures

    return figures.audit(problem, state)["wrong"]


def _comparable(problem: Problem, record: Record, metrics: Mapping[str, float]) -> list[str]:
    """Objectives that are known of a trial at a rung: reported there, or known before it ran."""
    return [name for name in problem.names if name in metrics or (name in record.costs and name != problem.quality)]


def _others(names: list[str], problem: Problem, state: State, record: Record, step: int) -> list[tuple[float, ...]]:
    """Objectives of the other trials at this rung, in the order of their reports; failed trials left out."""
    points = []
    for number in state.rungs.get(step, ()):
        other = state.records[number]
        report = other.at(step)
        if report is None or other.state == "FAIL" or number == record.number:
            continue
        point = _point(names, problem, other, report.metrics)
        if point is not None:
            points.append(point)
    return points


def _point(
    names: list[str], problem: Problem, record: Record, metrics: Mapping[str, float]
) -> tuple[float, ...] | None:
    known = {**metrics, **{k: v for k, v in record.costs.items() if k != problem.quality}}
    return tuple(float(known[n]) for n in names) if all(n in known for n in names) else None
