"""A study's folder as tables: what the report, the front and the plots are made of."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autoreg.engine.log.events import read_events
from autoreg.engine.log.records import Record, StudyState
from autoreg.errors import InputError
from autoreg.report.data.files import mapping
from autoreg.report.data.table import COSTS, RESERVED, numbers, trial_table

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class StudyData:
    """Everything that is known of one study.

    Attributes:
        folder: where it lies.
        study: study.json, what was asked.
        final: final.json, or an empty mapping while there is none.
        posterior: posterior.json (beliefs.json in studies of older versions), likewise.
        state: the folded log.
        random: the folded log of the random-search arm (random.jsonl), None where there is none.
        trials: one row a trial: `table.BOOKKEEPING`, every metric, every parameter by its path.
        reports: one row a report: trial, step, decision, and one column a metric.
        predictions: one row a prediction: trial, metric, mean, lower, upper, observed, trusted.
        metrics: columns of `trials` that are metrics.
        parameters: columns of `trials` that are parameters.
    """

    folder: Path
    study: Mapping[str, Any]
    final: Mapping[str, Any]
    state: StudyState
    random: StudyState | None
    trials: pd.DataFrame
    reports: pd.DataFrame
    predictions: pd.DataFrame
    metrics: tuple[str, ...]
    parameters: tuple[str, ...]
    posterior: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def load(cls, folder: str | Path) -> StudyData:
        """Read study.json, events.jsonl, final.json, posterior.json, random.jsonl; all but the first may be missing.

        Raises:
            InputError: when the folder holds no study, or study.json or final.json cannot be read.
            StudyError: when a line in the middle of the log is no event, or events do not fit together.
        """
        folder = Path(folder)
        study = _read_json(folder / "study.json", required=True)
        new = (folder / "posterior.json").exists()
        events, arm = folder / "events.jsonl", folder / "random.jsonl"
        state = StudyState(read_events(events) if events.exists() else ())
        table = trial_table(state.records, objectives_of(study), dense_of(study), study.get("constraints") or ())
        return cls(
            folder=folder,
            study=study,
            final=_read_json(folder / "final.json", required=False),
            posterior=_read_json(folder / ("posterior.json" if new else "beliefs.json"), required=False),
            state=state,
            random=StudyState(read_events(arm)) if arm.exists() else None,
            trials=table.frame,
            reports=_reports(state.records),
            predictions=_predictions(state.records),
            metrics=table.metrics,
            parameters=table.parameters,
        )

    @property
    def name(self) -> str:
        """The study's name."""
        return str(self.study.get("name") or self.folder.name)

    @property
    def objectives(self) -> dict[str, str]:
        """Objective names and their directions, `min` or `max`."""
        return objectives_of(self.study)

    @property
    def quality(self) -> tuple[str, ...]:
        """The objectives that are no costs, the one that is learned first."""
        learned = self.study.get("quality")
        names = [o for o in self.objectives if o not in COSTS]
        return tuple(sorted(names, key=lambda o: o != learned))

    @property
    def main(self) -> str:
        """The objective by which members are sorted: the first quality, or the first objective of all."""
        return next(iter(self.quality or self.objectives))

    @property
    def cost_metrics(self) -> tuple[str, ...]:
        """The recorded costs, in a fixed order."""
        return tuple(c for c in COSTS if c in self.metrics)

    @property
    def dense(self) -> dict[str, float]:
        """Metrics of the dense recipe: from study.json, completed by the trial that measured it."""
        record = next((r for r in self.state.complete() if r.source == "dense"), None)
        return (numbers(record.costs) | numbers(record.metrics) if record else {}) | dense_of(self.study)

    @property
    def complete(self) -> pd.DataFrame:
        """Trials that ended at full fidelity and have a value for every objective."""
        rows = self.trials[self.trials["state"] == "COMPLETE"]
        return rows.dropna(subset=list(self.objectives))

    @property
    def front(self) -> pd.DataFrame:
        """The rows of the trials on the front, best quality first."""
        rows = self.trials[self.trials["on_front"]]
        ascending = [self.objectives[self.main] == "min", True]
        return rows.sort_values([self.main, "number"], ascending=ascending, kind="stable")

    @property
    def shown_front(self) -> pd.DataFrame:
        """The front, and the trials that were re-measured because they were believed to be on it, in the same order."""
        rows = self.trials[self.trials["on_front"] | self.trials["number"].isin([m.get("trial") for m in self.members])]
        ascending = [self.objectives[self.main] == "min", True]
        return rows.sort_values([self.main, "number"], ascending=ascending, kind="stable")

    @property
    def epochs_run(self) -> float:
        """Passes over the training data that the study paid, those of the dense recipe before it among them."""
        prepared = self.study.get("prepared") or {}
        before = prepared.get("epochs_run", prepared.get("epochs_paid", 0.0))  # its name in older folders
        return float(self.spent("epochs_run").sum()) + float(before)

    def spent(self, what: str) -> pd.Series[float]:
        """What each trial says it spent: `epochs_requested`, `epochs_run` or `seconds`; NaN where it says nothing."""
        return self.trials[f"trial.{what}" if f"trial.{what}" in self.trials.columns else what]

    @property
    def ended(self) -> pd.DataFrame:
        """The rows of the trials that ended, in the order in which they did."""
        return self.trials.set_index("number", drop=False).loc[self.state.ended_numbers]

    @property
    def members(self) -> list[Mapping[str, Any]]:
        """The re-measured members in final.json."""
        return [m for m in self.final.get("members") or () if isinstance(m, Mapping)]

    @property
    def chances(self) -> dict[int, float]:
        """Probability of trials to be on the front with other seeds, as the search believed when it last ended."""
        if self.posterior.get("ended") != len(self.state.ended_numbers):
            return {}
        return {int(n): p for n, p in numbers(self.posterior.get("probabilities") or {}).items()}

    @property
    def prior(self) -> Mapping[str, Any]:
        """What became of a warm start (`Prior.to_dict`) when the search last ended; before that, what it took.

        Empty where the study had none.

        Raises:
            StudyError: what it took is damaged.
        """
        if self.posterior.get("ended") == len(self.state.ended_numbers) and "prior" in self.posterior:
            return mapping(self.posterior["prior"])
        from autoreg.engine.transfer.earlier_studies import SOURCES_FILE, load_sources

        sources = load_sources(self.folder) if (self.folder / SOURCES_FILE).exists() else []
        return {"sources": [source.summary() for source in sources]} if sources else {}

    @property
    def baselines(self) -> list[Mapping[str, Any]]:
        """The baselines in final.json."""
        return [b for b in self.final.get("baselines") or () if isinstance(b, Mapping)]


def objectives_of(study: Mapping[str, Any]) -> dict[str, str]:
    """The objectives that study.json names.

    Raises:
        InputError: when there are none, or a direction is neither `min` nor `max`.
    """
    objectives = study.get("objectives")
    if not isinstance(objectives, Mapping) or not objectives:
        raise InputError(f"study.json: objectives: found {objectives!r}; needed is {{name: min or max, ...}}")
    for name, direction in objectives.items():
        if name in RESERVED:
            raise InputError(
                f"study.json: objectives.{name}: a trial's {name} has that name; call the objective otherwise"
            )
        if direction not in ("min", "max"):
            raise InputError(f"study.json: objectives.{name}: found {direction!r}; allowed are min and max")
    return {str(k): str(v) for k, v in objectives.items()}


def dense_of(study: Mapping[str, Any]) -> dict[str, float]:
    """The dense metrics in study.json."""
    return numbers(study.get("dense") or {})


def _read_json(path: Path, required: bool) -> dict[str, Any]:
    if not path.exists():
        if not required:
            return {}
        raise InputError(
            f"{path.parent}: no study here ({path.name} is missing); give the folder that `autoreg run` wrote"
        )
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path}: not JSON ({error})") from None
    if not isinstance(value, dict):
        raise InputError(f"{path}: found a {type(value).__name__}; it must be one JSON object")
    return value


def _reports(records: Iterable[Record]) -> pd.DataFrame:
    import pandas as pd

    found = [(record.number, report) for record in records for report in record.reports]
    names = list(dict.fromkeys(name for _, report in found for name in numbers(report.metrics)))
    table: dict[str, Any] = {
        "trial": [number for number, _ in found],
        "step": [report.step for _, report in found],
        "decision": [report.decision for _, report in found],
    }
    for name in names:
        column = f"metrics.{name}" if name in ("trial", "step", "decision") else name
        table[column] = [numbers(report.metrics).get(name, math.nan) for _, report in found]
    return pd.DataFrame(table)


def _predictions(records: Iterable[Record]) -> pd.DataFrame:
    import pandas as pd

    rows = [row for record in records for row in _predicted(record)]
    return pd.DataFrame(rows, columns=["trial", "metric", "mean", "lower", "upper", "observed", "trusted"])


def _predicted(record: Record) -> Iterable[tuple[Any, ...]]:
    """Metric, predicted median, bounds, observed value and trust of what was predicted for a trial before it ran.

    Only complete trials have an observed value: a stopped trial's last one is of another fidelity.
    """
    prediction = record.prediction
    if prediction is None:
        return
    observed = numbers(record.metrics) if record.state == "COMPLETE" else {}
    bounds = [math.nan if end is None else end for end in (prediction.low, prediction.high)]
    for metric, value in prediction.objectives.items():
        yield (record.number, metric, value, *bounds, observed.get(metric, math.nan), prediction.trusted)
