"""The front that can be turned and pointed at: plotly, inline, with any two metrics as axes."""

from __future__ import annotations

import html
import json
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from autoreg.report.data.front import FrontRow, title
from autoreg.report.data.table import COSTS
from autoreg.report.plots.front import baselines_of, direction, thin
from autoreg.report.plots.style import AGAIN, BASELINE, FAINT, FRONT, STOPPED
from autoreg.report.text.phrase import recipe_phrase

if TYPE_CHECKING:
    import pandas as pd

    from autoreg.report.data.load import StudyData


def plotly_source() -> str:
    """The source of plotly.js, as the plotly package ships it (about 5 MB)."""
    from plotly.offline import get_plotlyjs

    source: str = get_plotlyjs()
    return source


def interactive_data(data: StudyData, rows: Sequence[FrontRow]) -> dict[str, Any]:
    """What the page's script draws: metrics to choose from and groups of points."""
    complete = data.trials[(data.trials["state"] == "COMPLETE") & ~data.trials["on_front"]]
    groups = [
        _group("dominated", FAINT, "circle", 6, 0.6, _points(data, thin(complete[complete["feasible"]]))),
        _group("breaks a constraint", FAINT, "square", 6, 0.4, _points(data, thin(complete[~complete["feasible"]]))),
        _group(
            "stopped early (last value)",
            STOPPED,
            "x-thin-open",
            6,
            0.6,
            _points(data, thin(data.trials[data.trials["state"] == "PRUNED"])),
        ),
        _group("front", FRONT, "circle", 9, 1.0, _points(data, data.front)),
        _group(
            "front, new seeds (mean ± std)",
            AGAIN,
            "line-ew-open",
            10,
            1.0,
            [_again(r) for r in rows if r.validation.get("mean")],
        ),
        _group("baseline", BASELINE, "diamond", 10, 1.0, [_baseline(n, m) for n, m in baselines_of(data)]),
    ]
    names = [*data.objectives, *(m for m in data.metrics if m not in data.objectives)]
    x = next((o for o in data.objectives if o in COSTS), names[-1] if len(names) == 1 else names[1])
    y = next(iter(data.quality), names[0])
    return {
        "metrics": [{"name": n, "title": title(n), "log": n in COSTS, "direction": direction(data, n)} for n in names],
        "groups": [g for g in groups if g["points"]],
        "x": x,
        "y": y if y != x else names[0],
    }


def script_json(value: Any) -> str:
    """JSON that can stand inside a script element whatever the strings hold."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


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


def _again(row: FrontRow) -> dict[str, Any]:
    mean = {k: v for k, v in row.validation["mean"].items() if isinstance(v, int | float)}
    std = {k: v for k, v in (row.validation.get("std") or {}).items() if isinstance(v, int | float)}
    return {
        "label": f"trial {row.trial}, new seeds",
        "text": html.escape(row.phrase),
        "values": dict(row.metrics) | mean,
        "spread": std,
    }


def _baseline(name: str, metrics: dict[str, Any]) -> dict[str, Any]:
    values = {k: float(v) for k, v in metrics.items() if isinstance(v, int | float) and math.isfinite(v)}
    return {"label": html.escape(name), "text": "baseline", "values": values}
