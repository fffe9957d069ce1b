"""The table of trials: one row a trial, columns of one type each."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from autoreg.engine.constraints import satisfied
from autoreg.engine.log.records import Record
from autoreg.engine.pareto.front import Direction, minimized, nondominated
from autoreg.report.data.flatten import flatten_configs
from autoreg.report.data.trial_values import costs_of
from autoreg.space import Expression

if TYPE_CHECKING:
    import pandas as pd

COST_COLUMNS = ("flops", "effective_flops", "bops", "weights", "params", "bytes", "file_bytes", "latency_ms")
BOOKKEEPING_COLUMNS = (
    "number",
    "state",
    "source",
    "seed",
    "reason",
    "epochs_requested",
    "epochs_run",
    "seconds",
    "feasible",
    "on_front",
    "reevaluation_of",
)
EFFORT_COLUMNS = ("epochs_requested", "epochs_run", "seconds")
RESERVED_COLUMNS = tuple(name for name in BOOKKEEPING_COLUMNS if name not in EFFORT_COLUMNS)


@dataclass(frozen=True)
class TrialTable:
    """A table of trials and which of its columns are metrics and parameters."""

    frame: pd.DataFrame
    metrics: tuple[str, ...]
    parameters: tuple[str, ...]


def trial_table(
    records: Sequence[Record], objectives: Mapping[str, str], dense: Mapping[str, float], constraints: Sequence[str]
) -> TrialTable:
    """Make the table of trials.

    Columns: `BOOKKEEPING_COLUMNS`, then metrics (known costs where a trial has not measured them), then parameters by
    their path. A metric or parameter whose name is taken becomes `metrics.NAME` or `config.NAME`; an effort column
    that has the name of a metric becomes `trial.NAME`.

    Args:
        records: the replayed log.
        objectives: direction of each objective; they are columns even before any trial has them.
        dense: metrics of the dense recipe, for constraints.
        constraints: comparisons as text, for trials whose feasibility is not on record.
    """
    import pandas as pd

    values = [costs_of(r) for r in records]
    flat = flatten_configs([r.config for r in records])
    names = list(dict.fromkeys([*objectives, *(name for row in values for name in row)]))
    metrics = {name: f"metrics.{name}" if name in RESERVED_COLUMNS else name for name in names}
    taken = {*BOOKKEEPING_COLUMNS, *metrics.values()}
    paths = list(dict.fromkeys(path for row in flat for path in row))
    parameters = {path: f"config.{path}" if path in taken else path for path in paths}
    feasible = _feasible(records, values, dense, constraints)
    table: dict[str, Any] = {
        "number": pd.array([r.number for r in records], dtype="int64"),
        "state": pd.array([r.state for r in records], dtype="string"),
        "source": pd.array([r.source for r in records], dtype="string"),
        "seed": pd.array([r.seed for r in records], dtype="Int64"),
        "reason": pd.array([r.reason for r in records], dtype="string"),
    }
    for key in EFFORT_COLUMNS:
        table[f"trial.{key}" if key in metrics else key] = pd.array(
            [math.nan if (effort := getattr(r.info, key)) is None else effort for r in records], dtype="float64"
        )
    table["feasible"] = pd.array(feasible, dtype="bool")
    table["on_front"] = pd.array(_on_front(records, values, feasible, objectives), dtype="bool")
    table["reevaluation_of"] = pd.array([r.reevaluation_of for r in records], dtype="Int64")
    for name, column in metrics.items():
        table[column] = pd.array([row.get(name, math.nan) for row in values], dtype="float64")
    for path, column in parameters.items():
        table[column] = _column([row.get(path) for row in flat])
    return TrialTable(pd.DataFrame(table), tuple(metrics.values()), tuple(parameters.values()))


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


def _feasible(
    records: Sequence[Record],
    values: Sequence[Mapping[str, float]],
    dense: Mapping[str, float],
    constraints: Sequence[str],
) -> list[bool]:
    """Whether each trial meets the constraints: as the log says, else by its costs and metrics."""
    if not constraints:
        return [r.feasible is not False for r in records]
    rules = [Expression.parse(str(text), "study.json, constraints") for text in constraints]
    reference = {f"dense.{k}": v for k, v in dense.items()}
    return [
        satisfied(rules, row, reference) if r.feasible is None else r.feasible
        for r, row in zip(records, values, strict=True)
    ]


def _on_front(
    records: Sequence[Record],
    values: Sequence[Mapping[str, float]],
    feasible: Sequence[bool],
    objectives: Mapping[str, str],
) -> list[bool]:
    """Which trials are complete, feasible and not dominated, by the first run of each recipe."""
    names = list(objectives)
    rows = [
        i
        for i, (r, row) in enumerate(zip(records, values, strict=True))
        if r.state == "COMPLETE" and r.reevaluation_of is None and feasible[i] and all(n in row for n in names)
    ]
    directions = cast("list[Direction]", list(objectives.values()))
    mask = nondominated(minimized([[values[i][n] for n in names] for i in rows], directions))
    inside = {i for i, on in zip(rows, mask, strict=True) if on}
    return [i in inside for i in range(len(records))]
