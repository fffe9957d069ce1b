"""The front that can be turned and pointed at: plotly, inline, with any two metrics as axes."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from autoreg.report.data.front import FrontRow, baseline_points, left_rows, metric_direction
from autoreg.report.data.load import StudyData
from autoreg.report.data.trial_table import COST_COLUMNS
from autoreg.report.plots.front import thin
from autoreg.report.plots.style import BASELINE_COLOR, DOMINATED_COLOR, FRONT_COLOR, PRUNED_COLOR
from autoreg.report.text.metrics import metric_title
from autoreg.report.text.phrase import recipe_phrase

if TYPE_CHECKING:
    import pandas as pd


def plotly_source() -> str:
    """The source of plotly.js, as the plotly package ships it (about 5 MB)."""
    from plotly.offline import get_plotlyjs

    source: str = get_plotlyjs()
    return source


def interactive_data(data: StudyData, rows: Sequence[FrontRow]) -> dict[str, Any]:
    """What the page's script draws: metrics to choose from and groups of points."""
    members, gone = [row for row in rows if not row.baseline], left_rows(data)
    shown = [row.trial for row in (*rows, *gone) if row.trial is not None]
    complete = data.trials[(data.trials["state"] == "COMPLETE") & ~data.trials["number"].isin(shown)]
    named = [row.name for row in rows if row.baseline]
    others = [(name, metrics) for name, metrics in baseline_points(data) if name not in named]
    groups = [
        _group("dominated", DOMINATED_COLOR, "circle", 6, 0.6, _points(data, thin(complete[complete["feasible"]]))),
        _group("infeasible", DOMINATED_COLOR, "square", 6, 0.4, _points(data, thin(complete[~complete["feasible"]]))),
        _group(
            "pruned (last value)",
            PRUNED_COLOR,
            "x-thin-open",
            6,
            0.6,
            _points(data, thin(data.trials[data.trials["state"] == "PRUNED"])),
        ),
        _group("left the front with fresh seeds", FRONT_COLOR, "circle-open", 8, 0.8, [_front_point(r) for r in gone]),
        _group("front", FRONT_COLOR, "circle", 9, 1.0, [_front_point(r) for r in members]),
        _group(
            "baseline on the front", BASELINE_COLOR, "diamond", 12, 1.0, [_front_point(r) for r in rows if r.baseline]
        ),
        _group("baseline", BASELINE_COLOR, "diamond-open", 10, 1.0, [_baseline_point(n, m) for n, m in others]),
    ]
    names = [*data.objectives, *(m for m in data.metrics if m not in data.objectives)]
    x = next((o for o in data.objectives if o in COST_COLUMNS), names[-1] if len(names) == 1 else names[1])
    y = next(iter(data.quality), names[0])
    return {
        "metrics": [
            {"name": n, "title": metric_title(n), "log": n in COST_COLUMNS, "direction": metric_direction(data, n)}
            for n in names
        ],
        "groups": [g for g in groups if g["points"]],
        "x": x,
        "y": y if y != x else names[0],
    }


def _group(
    name: str, color: str, symbol: str, size: float, opacity: float, points: list[dict[str, Any]]
) -> dict[str, Any]:
    return {"name": name, "color": color, "symbol": symbol, "size": size, "opacity": opacity, "points": points}


def _points(data: StudyData, rows: pd.DataFrame) -> list[dict[str, Any]]:
    found = []
    for _, row in rows.iterrows():
        number = int(row["number"])
        values = {m: float(row[m]) for m in data.metrics if math.isfinite(row[m])}
        phrase = html.escape(recipe_phrase(data.state.records[number].config))
        found.append({"label": f"trial {number}", "text": phrase, "values": values})
    return found


def _front_point(row: FrontRow) -> dict[str, Any]:
    return {
        "label": html.escape(row.name),
        "text": html.escape(recipe_phrase(row.recipe)),
        "values": {name: value for name, value in row.metrics.items() if math.isfinite(value)},
        "spread": {} if row.validation is None else dict(row.validation.std),
    }


def _baseline_point(name: str, metrics: Mapping[str, float]) -> dict[str, Any]:
    return {"label": html.escape(name), "text": "baseline", "values": dict(metrics)}
