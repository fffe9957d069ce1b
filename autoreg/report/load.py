"""A study's folder as tables: what the report, the front and the plots are made of."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autoreg.errors import InputError
from autoreg.report.events import Log, TrialRecord, fold
from autoreg.report.flatten import flatten_configs
from autoreg.report.pareto import front_mask
from autoreg.search.constraints import satisfied
from autoreg.search.events import read_events

if TYPE_CHECKING:
    import pandas as pd

    from autoreg.space import Expression

COSTS = ("flops", "effective_flops", "bops", "weights", "params", "bytes", "file_bytes", "latency_ms")
BOOKKEEPING = ("number", "state", "source", "seed", "reason", "epochs_asked", "epochs_paid", "seconds", "feasible", "on_front")


@dataclass(frozen=True)
class StudyData:
    """Everything that is known of one study.

    Attributes:
        folder: where it lies.
        study: study.json, what was asked.
        final: final.json, or an empty mapping while there is none.
        records: the folded log, one record a trial, by number.
        finished: numbers of the told trials, in the order they ended.
        trials: one row a trial: `BOOKKEEPING`, every metric, every parameter by its path.
        reports: one row a report: trial, step, decision, and one column a metric.
        predictions: one row a predicted metric of a trial: trial, metric, mean, lower, upper, observed, trusted.
        metrics: columns of `trials` that are metrics.
        parameters: columns of `trials` that are parameters.
    """

    folder: Path
    study: Mapping[str, Any]
    final: Mapping[str, Any]
    records: tuple[TrialRecord, ...]
    finished: tuple[int, ...]
    trials: pd.DataFrame
    reports: pd.DataFrame
    predictions: pd.DataFrame
    metrics: tuple[str, ...]
    parameters: tuple[str, ...]

    @classmethod
    def load(cls, folder: str | Path) -> StudyData:
        """Read study.json, events.jsonl and final.json; a running study has no final.json yet.

        Raises:
            InputError: when the folder holds no study, or study.json or final.json cannot be read.
            StudyError: when a line in the middle of the log is no event.
        """
        folder = Path(folder)
        study = _read_json(folder / "study.json", required=True)
        final = _read_json(folder / "final.json", required=False)
        events = folder / "events.jsonl"
        log = fold(read_events(events) if events.exists() else [])
        trials, metrics, parameters = _trials(log, study)
        return cls(
            folder=folder,
            study=study,
            final=final,
            records=log.trials,
            finished=log.finished,
            trials=trials,
            reports=_reports(log),
            predictions=_predictions(log),
            metrics=metrics,
            parameters=parameters,
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
        """The objectives that are no costs: error, bits per character, whatever an objective returns."""
        return tuple(o for o in self.objectives if o not in COSTS)

    @property
    def cost_metrics(self) -> tuple[str, ...]:
        """The recorded costs, in a fixed order."""
        return tuple(c for c in COSTS if c in self.metrics)

    @property
    def dense(self) -> dict[str, float]:
        """Metrics of the dense recipe: from study.json, completed by the trial that measured it."""
        known = self.study.get("dense") or self.study.get("dense_metrics") or {}
        found = {k: float(v) for k, v in known.items() if _is_number(v)}
        for record in self.records:
            if record.source == "dense" and record.state == "COMPLETE":
                return found | _numbers(record.costs) | _numbers(record.metrics)
        return found

    @property
    def complete(self) -> pd.DataFrame:
        """Trials that ended at full fidelity and have a value for every objective."""
        rows = self.trials[self.trials["state"] == "COMPLETE"]
        return rows.dropna(subset=[o for o in self.objectives if o in rows.columns])

    @property
    def front(self) -> pd.DataFrame:
        """The rows of the trials on the front, best quality first."""
        rows = self.trials[self.trials["on_front"]]
        first = next(iter(self.quality or self.objectives))
        return rows.sort_values([first, "number"], ascending=[self.objectives[first] == "min", True], kind="stable")

    def record(self, number: int) -> TrialRecord:
        """The record of trial `number`."""
        for record in self.records:
            if record.number == number:
                return record
        raise KeyError(number)


def objectives_of(study: Mapping[str, Any]) -> dict[str, str]:
    """The objectives that study.json names.

    Raises:
        InputError: when there are none, or a direction is neither `min` nor `max`.
    """
    objectives = study.get("objectives")
    if not isinstance(objectives, Mapping) or not objectives:
        raise InputError(f"study.json: objectives: found {objectives!r}; needed is {{name: min or max, ...}}")
    for name, direction in objectives.items():
        if direction not in ("min", "max"):
            raise InputError(f"study.json: objectives.{name}: found {direction!r}; allowed are min and max")
    return {str(k): str(v) for k, v in objectives.items()}


def _read_json(path: Path, required: bool) -> dict[str, Any]:
    if not path.exists():
        if not required:
            return {}
        raise InputError(f"{path.parent}: no study here ({path.name} is missing); give the folder that `autoreg run` wrote")
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path}: not JSON ({error})") from None
    if not isinstance(value, dict):
        raise InputError(f"{path}: found a {type(value).__name__}; it must be one JSON object")
    return value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _numbers(values: Mapping[str, Any]) -> dict[str, float]:
    return {str(k): float(v) for k, v in values.items() if _is_number(v)}


def _trials(log: Log, study: Mapping[str, Any]) -> tuple[pd.DataFrame, tuple[str, ...], tuple[str, ...]]:
    import pandas as pd

    objectives = objectives_of(study)
    values = [_numbers(r.costs) | _numbers(r.metrics) for r in log.trials]
    metric_names = list(dict.fromkeys([*objectives, *(name for row in values for name in row)]))
    metric_columns = {m: (f"metrics.{m}" if m in BOOKKEEPING else m) for m in metric_names}
    flat = flatten_configs([r.config for r in log.trials])
    taken = {*BOOKKEEPING, *metric_columns.values()}
    paths = list(dict.fromkeys(path for row in flat for path in row))
    parameter_columns = {p: (f"config.{p}" if p in taken else p) for p in paths}
    table: dict[str, Any] = {
        "number": [r.number for r in log.trials],
        "state": pd.array([r.state for r in log.trials], dtype="string"),
        "source": pd.array([r.source for r in log.trials], dtype="string"),
        "seed": pd.array([r.seed for r in log.trials], dtype="Int64"),
        "reason": pd.array([r.reason for r in log.trials], dtype="string"),
    }
    for key in ("epochs_asked", "epochs_paid", "seconds"):
        table[key] = [float(r.info[key]) if _is_number(r.info.get(key)) else math.nan for r in log.trials]
    constraints = _constraints(study) if study.get("constraints") else []
    dense = {f"dense.{k}": v for k, v in _numbers(study.get("dense") or study.get("dense_metrics") or {}).items()}
    table["feasible"] = [satisfied(constraints, row, dense) for row in values]
    for name, column in metric_columns.items():
        table[column] = [row.get(name, math.nan) for row in values]
    for path, column in parameter_columns.items():
        table[column] = _column([row.get(path) for row in flat])
    index = range(len(log.trials))
    frame = pd.DataFrame(table, index=index)
    frame.insert(9, "on_front", _on_front(frame, log.trials, objectives, metric_columns))
    return frame, tuple(metric_columns.values()), tuple(parameter_columns.values())


def _column(values: Sequence[Any]) -> Any:
    """One parameter over all trials as a column of a single type: booleans, whole numbers, numbers or text."""
    import pandas as pd

    kinds = {type(v) for v in values if v is not None}
    if kinds == {bool}:
        return pd.array(list(values), dtype="boolean")
    if kinds == {int}:
        return pd.array(list(values), dtype="Int64")
    if kinds and kinds <= {int, float}:
        return pd.array([math.nan if v is None else float(v) for v in values], dtype="float64")
    return pd.array([v if v is None or isinstance(v, str) else json.dumps(v) for v in values], dtype="string")


def _on_front(frame: pd.DataFrame, records: Sequence[TrialRecord], objectives: Mapping[str, str], columns: Mapping[str, str]) -> list[bool]:
    """Complete, feasible and not dominated; of equal recipes only the first."""
    names = [columns[o] for o in objectives]
    eligible = (frame["state"] == "COMPLETE") & frame["feasible"] & frame[names].notna().all(axis=1)
    seen: set[str] = set()
    rows: list[int] = []
    for i in eligible.to_numpy().nonzero()[0].tolist():
        key = json.dumps(records[i].config, sort_keys=True)
        if key not in seen:
            seen.add(key)
            rows.append(i)
    on_front = [False] * len(frame)
    mask = front_mask(frame.loc[rows, names].to_numpy(dtype=float), tuple(objectives.values()))
    for i, inside in zip(rows, mask, strict=True):
        on_front[i] = bool(inside)
    return on_front


def _constraints(study: Mapping[str, Any]) -> list[Expression]:
    from autoreg.space import Expression

    return [Expression.parse(str(text), "study.json, constraints") for text in study.get("constraints") or ()]


def _reports(log: Log) -> pd.DataFrame:
    import pandas as pd

    names = list(dict.fromkeys(name for r in log.reports for name in _numbers(r.metrics)))
    columns = {n: (f"metrics.{n}" if n in ("trial", "step", "decision") else n) for n in names}
    table: dict[str, Any] = {
        "trial": [r.trial for r in log.reports],
        "step": [r.step for r in log.reports],
        "decision": [r.decision for r in log.reports],
    }
    for name, column in columns.items():
        table[column] = [_numbers(r.metrics).get(name, math.nan) for r in log.reports]
    return pd.DataFrame(table)


def _predictions(log: Log) -> pd.DataFrame:
    import pandas as pd

    rows = [row for record in log.trials for row in _predicted(record)]
    return pd.DataFrame(rows, columns=["trial", "metric", "mean", "lower", "upper", "observed", "trusted"])


def _predicted(record: TrialRecord) -> Iterable[tuple[Any, ...]]:
    """What was foretold of a trial: `{"error": 0.1}` or `{"error": {"mean", "std" or "lower" and "upper"}}`.

    A `trusted` beside the metrics, or in one of them, tells whether the engine acted on it. Only
    complete trials have an observed value: a stopped trial's last one is of another fidelity.
    """
    predicted = record.predicted or {}
    overall = predicted.get("trusted")
    observed = _numbers(record.metrics) if record.state == "COMPLETE" else {}
    for metric, value in predicted.items():
        if metric == "trusted":
            continue
        parts = value if isinstance(value, Mapping) else {"mean": value}
        if not _is_number(parts.get("mean")):
            continue
        mean, std = float(parts["mean"]), parts.get("std")
        spread = 1.645 * float(std) if _is_number(std) else math.nan
        lower, upper = parts.get("lower", mean - spread), parts.get("upper", mean + spread)
        yield (record.number, metric, mean, lower, upper, observed.get(metric, math.nan), parts.get("trusted", overall))
