"""How the result of a trial is recorded."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from autoreg.engine.log.events import finite, safe_text
from autoreg.engine.log.records import Record
from autoreg.engine.log.trial import Result, TrialState, as_numbers
from autoreg.engine.problem import Problem
from autoreg.errors import InputError
from autoreg.trial_info import TrialInfo

MAX_REASON = 4000
"""Characters of a reason that the log keeps: it is read at every resume, and error texts may hold whole tensors."""


def tell_event(problem: Problem, record: Record, result: Result) -> tuple[TrialState, dict[str, Any]]:
    """The state that a trial is recorded with, and the event.

    A COMPLETE result without a finite value for every objective is recorded as FAIL; known costs fill in objectives
    that the trial did not measure.
    """
    state, reason = result.state, result.reason
    metrics: dict[str, float] = {}
    try:
        metrics = as_numbers(result.metrics, f"trial {record.number}")
    except InputError as error:
        state, reason = "FAIL", str(error)
    middles = {n: i[1] for n, i in record.intervals.items()}
    metrics = {**record.costs, **middles, **metrics}
    if state == "COMPLETE":
        missing = _missing(problem, metrics)
        state, reason = ("FAIL", missing) if missing else (state, reason)
    if state == "FAIL" and not reason:
        reason = "failed without a reason"
    reason = None if reason is None else safe_text(reason, MAX_REASON)
    broken = problem.violated({k: v for k, v in metrics.items() if math.isfinite(v)}) if state == "COMPLETE" else {}
    event: dict[str, Any] = {"event": "tell", "trial": record.number, "state": state, "metrics": metrics}
    event |= {"info": _jsonable(result.info), "reason": reason}
    if state == "COMPLETE":
        event |= {"feasible": not broken, "violation": sum(broken.values()), "broken": sorted(broken)}
    return state, event


def _missing(problem: Problem, metrics: Mapping[str, float]) -> str | None:
    for name in problem.names:
        if name not in metrics:
            return f"objective {name!r} is missing from the result; it has: {', '.join(sorted(metrics)) or 'nothing'}"
        if not math.isfinite(metrics[name]):
            return f"objective {name!r} is {metrics[name]}, which is no finite number"
    return None


def _jsonable(info: TrialInfo) -> dict[str, Any]:
    try:
        plain: dict[str, Any] = finite(info.to_dict())
        return plain
    except TypeError as error:
        return TrialInfo(notes=[f"the info of this trial could not be kept: {error}"]).to_dict()
