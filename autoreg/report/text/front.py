"""The front as text, for people and for programs."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from autoreg.errors import InputError
from autoreg.report.data.final_results import ExportedModel, SeedSpread
from autoreg.report.data.front import FrontRow, front_rows
from autoreg.report.data.load import StudyData
from autoreg.report.text.metrics import (
    SHORT_METRIC_TITLES,
    format_metric,
    format_milliseconds,
    format_spread,
    metric_title,
)
from autoreg.report.text.phrase import recipe_phrase
from autoreg.report.text.trials import no_front_sentence

if TYPE_CHECKING:
    from rich.table import Table

FrontFormat = Literal["table", "json", "csv"]
FRONT_FORMATS: tuple[FrontFormat, ...] = ("table", "json", "csv")


def format_front(data: StudyData, format: str = "table", width: int | None = None) -> str:
    """The front as text.

    `json` is one object: `study`, `objectives` {name: min or max}, `front`: a list of members, best quality
    first, each with the fields of `FrontRow`, `phrase` (the recipe in a few words), and `file` {`name`, `bytes`,
    `ms`, `low`, `high`} of its exported model. `csv` has one line a member: `trial`, `source`, one column a
    metric, `validation.NAME.mean`, `validation.NAME.std`, `test.NAME.mean`, `test.NAME.std` for every
    quality objective that was re-evaluated, `file_bytes`, `file_ms`, `file_ms.low`, `file_ms.high` where members were
    exported, `hv_contribution`, `front_probability`, `replicated`, `on_final_front`, `phrase`, and `recipe` (the
    config as JSON). Unknown numbers are null in JSON and empty in CSV. Both only gain fields in later versions.
    `table` is for people and may change.

    Args:
        data: a loaded study.
        format: `table`, `json` or `csv`.
        width: columns of the table; by default those of the terminal.

    Raises:
        InputError: for another format.
    """
    if format not in FRONT_FORMATS:
        raise InputError(f"format: found {format!r}; allowed are {', '.join(FRONT_FORMATS)}")
    rows = front_rows(data)
    if format == "json":
        body = {"study": data.name, "objectives": data.objectives, "front": [_json_member(row) for row in rows]}
        return json.dumps(body, indent=2, allow_nan=False)
    return _csv(data, rows) if format == "csv" else _table(data, rows, width)


def _json_member(row: FrontRow) -> dict[str, Any]:
    def spread(found: SeedSpread | None) -> dict[str, Any]:
        return {} if found is None else found.to_json()

    return {
        "trial": row.trial,
        "source": row.source,
        "metrics": dict(row.metrics),
        "phrase": recipe_phrase(row.recipe),
        "recipe": row.recipe,
        "validation": spread(row.validation),
        "test": spread(row.test),
        "test_sets": {name: spread(found) for name, found in row.test_sets.items()},
        "hv_contribution": row.hv_contribution,
        "front_probability": row.front_probability,
        "replicated": row.replicated,
        "on_final_front": row.on_final_front,
        "file": {} if row.exported is None else {"name": row.exported.file, **_file_fields(row.exported)},
    }


def _file_fields(model: ExportedModel) -> dict[str, float | None]:
    latency = model.latency
    ms, low, high = (None, None, None) if latency is None else (latency.ms, latency.low, latency.high)
    return {"bytes": model.file_bytes, "ms": ms, "low": low, "high": high}


def _csv(data: StudyData, rows: Sequence[FrontRow]) -> str:
    blocks = [
        (kind, name)
        for kind in ("validation", "test")
        for name in data.quality
        if any(_has(r, kind, name) for r in rows)
    ]
    spread = [f"{kind}.{name}.{part}" for kind, name in blocks for part in ("mean", "std")]
    last = ["hv_contribution", "front_probability", "replicated", "on_final_front", "phrase", "recipe"]
    files = {"file_bytes": "bytes", "file_ms": "ms", "file_ms.low": "low", "file_ms.high": "high"}
    files = {name: key for name, key in files.items() if any(r.exported for r in rows) and name not in data.metrics}
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["trial", "source", *data.metrics, *spread, *files, *last])
    for r in rows:
        found: list[float | None] = []
        for kind, name in blocks:
            own: SeedSpread | None = getattr(r, kind)
            found += [None, None] if own is None else [own.mean.get(name), own.std.get(name)]
        file = _file_fields(r.exported) if r.exported is not None else {}
        tail = [r.hv_contribution, r.front_probability, r.replicated, r.on_final_front]
        cells: list[Any] = [r.trial, r.source, *(r.metrics.get(m) for m in data.metrics), *found]
        cells += [*(file.get(key) for key in files.values()), *tail, recipe_phrase(r.recipe), json.dumps(r.recipe)]
        writer.writerow(["" if c is None else c for c in cells])
    return out.getvalue()


def _has(row: FrontRow, kind: str, name: str) -> bool:
    spread: SeedSpread | None = getattr(row, kind)
    return spread is not None and name in spread.mean


def _table(data: StudyData, rows: Sequence[FrontRow], width: int | None) -> str:
    from rich.console import Console

    if not rows:
        return f"{data.name}: {no_front_sentence(data)}\n"
    width = width or max(80, shutil.get_terminal_size((120, 24)).columns)
    out = io.StringIO()
    console = Console(file=out, width=width, color_system=None)
    more = ("effective_flops", "bops", "bytes") if width >= 140 else ("bytes",) if width >= 100 else ()
    unbounded = console.options.update(width=10 * width)
    for extras, files, recipe in ((more, True, 22), (("bytes",), True, 22), ((), True, 20), ((), False, 20)):
        table = _rich_table(data, rows, extras, files and width >= 100, recipe)
        if console.measure(table, options=unbounded).minimum <= width:
            break  # rich cuts off what does not fit, so columns are left out until the rest does
    else:
        table = _rich_table(data, rows, (), False, 8)
    console.print(table)
    lines = (line.rstrip() for line in out.getvalue().splitlines())
    return "\n".join(lines).strip() + "\n"


def _rich_table(data: StudyData, rows: Sequence[FrontRow], extras: Sequence[str], files: bool, recipe: int) -> Table:
    """The front for a terminal, with further costs, and size and time of the exported models where there are any.

    The last column, the recipe, has at least `recipe` characters.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    metrics = [*data.objectives, *(c for c in extras if c in data.metrics and c not in data.objectives)]
    validated = [q for q in data.quality if any(_has(r, "validation", q) for r in rows)]
    tested = [q for q in data.quality if any(_has(r, "test", q) for r in rows)]
    probability = bool(extras) and any(r.front_probability is not None for r in rows)
    files = files and any(r.exported for r in rows)
    heading = Text(f"{data.name}: {len(data.front)} of {len(data.complete)} complete trials are on the front")
    table = Table(box=box.SIMPLE_HEAD, title=heading, title_justify="left", padding=(0, 1), pad_edge=False)
    heads = ["trial", *(SHORT_METRIC_TITLES.get(m, metric_title(m)) for m in metrics)]
    heads += [f"{metric_title(q)}, fresh seeds" for q in validated] + [f"{metric_title(q)}, test" for q in tested]
    heads += ["P(on front)"] if probability else []
    heads += ["file bytes", "file ms"] if files else []
    lines = []
    for r in rows:
        cells = [format_metric(m, r.metrics.get(m)) for m in metrics]
        cells += [format_spread(q, r.validation) for q in validated] + [format_spread(q, r.test) for q in tested]
        cells += ["" if r.front_probability is None else f"{r.front_probability:.0%}"] if probability else []
        cells += _file_cells(r.exported, interval=len(extras) > 1) if files else []
        lines.append([str(r.trial), *cells])
    for head, cells in zip(heads, (list(column) for column in zip(*lines, strict=True)), strict=True):
        least = max(map(len, [*head.split(), *cells]))
        table.add_column(Text(head), justify="right", no_wrap=False, min_width=max(5, least))
    table.add_column("recipe", ratio=1, overflow="fold", min_width=recipe)
    for row, line in zip(rows, lines, strict=True):
        table.add_row(*(Text(cell, no_wrap=True) for cell in line), Text(recipe_phrase(row.recipe)))
    return table


def _file_cells(model: ExportedModel | None, *, interval: bool) -> list[str]:
    """Size and time of a member's exported model, the time with its 95 % interval where there is space."""
    if model is None:
        return ["", ""]
    latency = model.latency
    time = "" if latency is None else format_milliseconds(latency.ms)
    if latency is not None and interval:
        time += f" ({format_milliseconds(latency.low)} to {format_milliseconds(latency.high)})"
    return [format_metric("file_bytes", model.file_bytes), time]
