"""The state of a study, replayed from its events."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from autoreg.engine.log.events import Event
from autoreg.engine.log.prediction import Prediction
from autoreg.engine.pareto.front import Normalizer
from autoreg.errors import StudyError
from autoreg.trial_info import TrialInfo

LOG_VERSION = 2
"""Version of the log that is written; 1 had flat predictions and other keys, and is read."""

RecordState = Literal["RUNNING", "COMPLETE", "PRUNED", "FAIL"]


@dataclass
class StepReport:
    """Metrics of a trial at one step, and what was decided and why.

    `audited`: it would have been stopped, and is finished all the same, to see whether that stop would have been wrong.
    """

    step: int
    metrics: dict[str, float]
    decision: str = "continue"
    reason: str = ""
    audited: bool = False


@dataclass
class Record:
    """One trial as the log tells it. `feasible` is None until the trial has ended with metrics.

    `intervals` holds low end, middle and high end of costs that were known with an error; `costs` their low end.
    `reevaluation_of` is the trial whose recipe this one runs again with another seed. `superseded_reports` are, by
    step, those that it made before it was interrupted.
    """

    number: int
    config: dict[str, Any]
    source: str
    seed: int
    costs: dict[str, float]
    prediction: Prediction | None = None
    state: RecordState = "RUNNING"
    metrics: dict[str, float] = field(default_factory=dict)
    info: TrialInfo = field(default_factory=TrialInfo)
    reason: str | None = None
    feasible: bool | None = None
    violation: float = 0.0
    audited: bool = False
    reports: list[StepReport] = field(default_factory=list)
    superseded_reports: dict[int, StepReport] = field(default_factory=dict)
    intervals: dict[str, list[float]] = field(default_factory=dict)
    reevaluation_of: int | None = None
    asked_at: float = 0.0
    ended_at: float | None = None

    def at(self, step: int) -> StepReport | None:
        """The report of one step, if there is one."""
        return next((r for r in self.reports if r.step == step), None)

    @property
    def epochs_run(self) -> float:
        """Epochs that the trial cost, as its info says; 0 where it says nothing."""
        return self.info.epochs_run or 0.0


def _prediction(event: Event) -> Prediction | None:
    if event.get("prediction") is not None:
        return Prediction.from_dict(event["prediction"])
    return Prediction.from_version_1(event["predicted"]) if event.get("predicted") else None


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else 0.0


class StudyState:
    """What the events say, replayed one by one.

    Attributes:
        records: The trials, by number.
        ended_numbers: Numbers of trials that ended, in the order in which they did.
        rungs: Per step the numbers of trials that reported there, in order.
        again: Trials that were asked and had not ended when the study was last resumed, to be asked again.
        normalizer: The scale of hypervolume once it is fixed.
        start: The first event, which says what the study is.
        seconds: Time of the last event since the study began, pauses left out.
    """

    def __init__(self, events: Iterable[Event] = ()) -> None:
        self.records: list[Record] = []
        self.ended_numbers: list[int] = []
        self.rungs: dict[int, list[int]] = {}
        self.again: list[int] = []
        self.normalizer: Normalizer | None = None
        self.start: Event | None = None
        self.seconds = 0.0
        for event in events:
            self.apply(event)

    def apply(self, event: Event) -> None:
        """Take in one event; kinds that are not known are passed over, so that later versions may add some.

        Raises:
            StudyError: If an event does not fit those before it.
        """
        handler = getattr(self, f"_on_{event['event']}", None)
        if handler is not None:
            try:
                handler(event)
            except (KeyError, IndexError, TypeError) as error:
                raise StudyError(
                    f"the events of the study do not fit together: {str(event)[:120]} ({error!r})"
                ) from error
        self.seconds = max(self.seconds, _number(event.get("at")))

    def running(self) -> list[Record]:
        """Trials that were asked and have not ended."""
        return [r for r in self.records if r.state == "RUNNING"]

    def ended(self) -> list[Record]:
        """Trials that ended, in the order in which they did."""
        return [self.records[n] for n in self.ended_numbers]

    def complete(self) -> list[Record]:
        """Complete trials, in the order in which they ended."""
        return [r for r in self.ended() if r.state == "COMPLETE"]

    def _on_start(self, event: Event) -> None:
        version = event.get("version", 1)
        if not isinstance(version, int) or version > LOG_VERSION:
            raise StudyError(
                f"the log is of version {version!r}; this autoreg reads versions up to {LOG_VERSION}. Read it with the "
                "autoreg that wrote it, or a later one."
            )
        self.start = event
        if event.get("normalizer"):
            self.normalizer = Normalizer.from_dict(event["normalizer"])

    def _on_scale(self, event: Event) -> None:
        self.normalizer = Normalizer.from_dict(event["normalizer"])

    def _on_resume(self, event: Event) -> None:
        """Whatever ran is asked again; what it reported so far is superseded, but keeps its place at its rung."""
        for record in self.running():
            record.superseded_reports |= {r.step: r for r in record.reports}
            record.reports, record.audited = [], False
        self.again = sorted(r.number for r in self.running())

    def _on_again(self, event: Event) -> None:
        self.again.remove(event["trial"]) if event["trial"] in self.again else None

    def _on_ask(self, event: Event) -> None:
        number = event["trial"]
        if number != len(self.records):
            raise StudyError(
                f"the events of the study do not fit together: trial {number} follows trial {len(self.records) - 1}"
            )
        costs, prediction = event.get("costs") or {}, _prediction(event)
        at = _number(event.get("at"))
        record = Record(number, event["config"], event.get("source", ""), event["seed"], dict(costs), prediction)
        record.intervals, record.asked_at = dict(event.get("intervals") or {}), at
        record.reevaluation_of = event.get("reevaluation_of", event.get("replicate_of"))  # the latter in older logs
        if record.reevaluation_of is not None and not 0 <= record.reevaluation_of < number:
            raise StudyError(
                f"the events of the study do not fit together: trial {number} repeats {record.reevaluation_of}"
            )
        self.records.append(record)

    def _on_report(self, event: Event) -> None:
        number, step = event["trial"], event["step"]
        record = self.records[number]
        metrics = {k: v for k, v in event["metrics"].items() if v is not None}
        audited = bool(event.get("audit"))
        record.reports.append(StepReport(step, metrics, event["decision"], event.get("reason") or "", audited))
        record.audited = record.audited or audited
        if number not in self.rungs.setdefault(step, []):  # it is there already if it reports again after a resumption
            self.rungs[step].append(number)

    def _on_tell(self, event: Event) -> None:
        record = self.records[event["trial"]]
        record.state = event["state"]
        record.metrics = {k: v for k, v in event["metrics"].items() if v is not None}
        record.info = TrialInfo.from_dict(event.get("info"))
        record.reason = event.get("reason")
        record.feasible = event.get("feasible")
        record.violation = _number(event.get("violation"))
        record.ended_at = _number(event.get("at"))
        self.ended_numbers.append(record.number)


def read_state(events: Iterable[Mapping[str, Any]]) -> StudyState:
    """Replay events that were read from a study's log; nothing is written."""
    return StudyState(dict(e) for e in events)
