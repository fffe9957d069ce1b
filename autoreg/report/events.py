"""The log of a study, folded into one record a trial."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any


@dataclass(frozen=True)
class TrialRecord:
    """All that the log says about one trial; `state` is RUNNING until the trial was told."""

    number: int
    config: Mapping[str, Any]
    source: str = ""
    seed: int | None = None
    costs: Mapping[str, Any] = field(default_factory=dict)
    predicted: Mapping[str, Any] | None = None
    state: str = "RUNNING"
    metrics: Mapping[str, Any] = field(default_factory=dict)
    info: Mapping[str, Any] = field(default_factory=dict)
    reason: str | None = None


@dataclass(frozen=True)
class ReportRecord:
    """One intermediate report of a trial and what the engine decided on it."""

    trial: int
    step: int
    metrics: Mapping[str, Any]
    decision: str


@dataclass(frozen=True)
class Log:
    """The folded log: trials by number, reports in the order they came, trials in the order they ended."""

    trials: tuple[TrialRecord, ...]
    reports: tuple[ReportRecord, ...]
    finished: tuple[int, ...]


def fold(events: Iterable[Mapping[str, Any]]) -> Log:
    """Fold events into records.

    A trial that is asked again (after a kill and a resume) starts anew: its earlier reports are dropped.
    Events of other kinds, and reports or results of trials that were never asked, are ignored.
    """
    trials: dict[int, TrialRecord] = {}
    reports: dict[int, list[ReportRecord]] = {}
    order: list[ReportRecord] = []
    finished: dict[int, None] = {}
    for event in events:
        kind, number = event.get("event"), event.get("trial")
        if not isinstance(number, int):
            continue
        if kind == "ask":
            trials[number] = _asked(number, event)
            reports[number] = []
            finished.pop(number, None)
        elif kind == "report" and number in trials:
            metrics = event.get("metrics") or {}
            record = ReportRecord(number, int(event.get("step", 0)), metrics, str(event.get("decision", "")))
            reports[number].append(record)
            order.append(record)
        elif kind == "tell" and number in trials:
            trials[number] = _told(trials[number], event)
            finished[number] = None
    alive = {id(r) for records in reports.values() for r in records}
    return Log(
        trials=tuple(trials[n] for n in sorted(trials)),
        reports=tuple(r for r in order if id(r) in alive),
        finished=tuple(finished),
    )


def _asked(number: int, event: Mapping[str, Any]) -> TrialRecord:
    seed = event.get("seed")
    return TrialRecord(
        number=number,
        config=event.get("config") or {},
        source=str(event.get("source") or ""),
        seed=seed if isinstance(seed, int) else None,
        costs=event.get("costs") or {},
        predicted=event.get("predicted") or None,
    )


def _told(trial: TrialRecord, event: Mapping[str, Any]) -> TrialRecord:
    reason = event.get("reason")
    return replace(
        trial,
        state=str(event.get("state", "FAIL")),
        metrics=event.get("metrics") or {},
        info=event.get("info") or {},
        reason=None if reason is None else str(reason),
    )
