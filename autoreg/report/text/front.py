"""The front as text, for people and for programs."""

from __future__ import annotations

import csv
import io
import json
import shutil
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from autoreg.errors import InputError
from autoreg.report.data.exported_model import ExportedModel
from autoreg.report.data.front import FrontRow, front_rows, left_rows
from autoreg.report.data.load import StudyData
from autoreg.report.data.seed_spread import SeedSpread
from autoreg.report.text.comparison import comparison_sentences, optimism_sentence
from autoreg.report.text.metrics import (
    SHORT_METRIC_TITLES,
    format_metric,
    format_milliseconds,
    format_spread,
    metric_title,
    plural,
)
from autoreg.report.text.phrase import recipe_phrase
from autoreg.report.text.trials import no_front_sentence

if TYPE_CHECKING:
    from rich.table import Table

FrontFormat = Literal["table", "json", "csv"]
FRONT_FORMATS: tuple[FrontFormat, ...] = ("table", "json", "csv")


def format_front(data: StudyData, format: str = "table", width: int | None = None) -> str:
    """The front as text.

    `json` is one object: `study`, `objectives` {name: min or max}, `front`: a list of members and of baselines on the
    front, best quality first, each with the fields of `FrontRow`, `phrase` (the recipe in a few words), and `file`
    {`name`, `bytes`, `ms`, `low`, `high`} of its exported model; `left`: likewise the members that left the front with
    fresh seeds; `comparison`: sentences on what beats what. `csv` has one line for each of `front`: `trial`, `source`,
    one column a metric (means over fresh seeds; before these the posterior mean of the quality),
    `validation.NAME.mean`, `validation.NAME.std`, `test.NAME.mean`, `test.NAME.std` for every quality objective that
    was re-evaluated, `file_bytes`, `file_ms`, `file_ms.low`, `file_ms.high` where members were exported,
    `hv_contribution`, `front_probability`, `replicated`, `on_final_front`, `phrase`, `recipe` (the config as JSON),
    `name`, `baseline`, and `search.NAME` (the quality that the search saw). Unknown numbers are null in JSON and empty
    in CSV. Both only gain fields in later versions. `table` is for people and may change.

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
    if format == "csv":
        return _csv(data, rows)
    left = left_rows(data)
    sentences = comparison_sentences(data, rows, left)
    if format == "json":
        body: dict[str, Any] = {"study": data.name, "objectives": data.objectives}
        body |= {"front": [_json_member(row) for row in rows], "left": [_json_member(row) for row in left]}
        return json.dumps({**body, "comparison": sentences}, indent=2, allow_nan=False)
    table = _table(data, rows, width)
    further = [optimism_sentence(data), left_sentence(data, left) if left else ""]
    below = [*sentences, *filter(None, further)] if rows else []
    return "\n".join([table, *_wrapped(below, _width(width))]) if below else table


def _json_member(row: FrontRow) -> dict[str, Any]:
    def spread(found: SeedSpread | None) -> dict[str, Any]:
        return {} if found is None else found.to_json()

    return {
        "name": row.name,
        "trial": row.trial,
        "baseline": row.baseline,
        "source": row.source,
        "metrics": dict(row.metrics),
        "search": dict(row.search),
        "phrase": recipe_phrase(row.recipe),
        "recipe": row.recipe,
        "validation": spread(row.validation),
        "test": spread(row.test),
        "test_sets": {name: spread(found) for name, found in row.test_sets.items()},
        "hv_contribution": row.hv_contribution,
        "front_probability": row.front_probability,
        "replicated": row.replicated,
        "on_final_front": row.on_final_front,
        "dominated_by": row.dominated_by,
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
    last += ["name", "baseline", *(f"search.{name}" for name in data.quality)]
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
        cells += [r.name, r.baseline, *(r.search.get(name) for name in data.quality)]
        writer.writerow(["" if c is None else c for c in cells])
    return out.getvalue()


def _has(row: FrontRow, kind: str, name: str) -> bool:
    spread: SeedSpread | None = getattr(row, kind)
    return spread is not None and name in spread.mean


def _table(data: StudyData, rows: Sequence[FrontRow], width: int | None) -> str:
    from rich.console import Console

    if not rows:
        return f"{data.name}: {no_front_sentence(data)}\n"
    width = _width(width)
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


def _width(given: int | None) -> int:
    return given or max(80, shutil.get_terminal_size((120, 24)).columns)


def _wrapped(sentences: Sequence[str], width: int) -> list[str]:
    return [line for sentence in sentences for line in textwrap.wrap(sentence, width)] + [""]


def left_sentence(data: StudyData, left: Sequence[FrontRow]) -> str:
    """Members that left the front with fresh seeds: what they seemed to be, what they are, what dominates them."""
    quality = data.main_objective
    parts = []
    for row in left:
        seen = format_metric(quality, row.search.get(quality))
        fresh = format_spread(quality, row.validation) or "no seed was completed"
        by = f", dominated by {row.dominated_by}" if row.dominated_by else ""
        parts.append(f"{row.name} ({metric_title(quality)} {seen} when chosen, {fresh}{by})")
    return f"Left the front with fresh seeds: {'; '.join(parts)}."


def _rich_table(data: StudyData, rows: Sequence[FrontRow], extras: Sequence[str], files: bool, recipe: int) -> Table:
    """The front for a terminal, with further costs, and size and time of the exported models where there are any.

    The last column, the recipe, has at least `recipe` characters.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    metrics = [*data.objectives, *(c for c in extras if c in data.metrics and c not in data.objectives)]
    tested = [q for q in data.quality if any(_has(r, "test", q) for r in rows)]
    probability = bool(extras) and any(r.front_probability is not None for r in rows)
    files = files and any(r.exported for r in rows)
    heading = Text(f"{data.name}: {front_size_phrase(rows)} on the front, of {len(data.complete)} complete trials")
    table = Table(box=box.SIMPLE_HEAD, title=heading, title_justify="left", padding=(0, 1), pad_edge=False)
    heads = ["trial", *(value_title(data, rows, m, short=True) for m in metrics)]
    heads += [f"{metric_title(q)}, test" for q in tested]
    heads += ["P(on front)"] if probability else []
    sizes = "file_bytes" not in metrics  # else the search has measured them, in the format of the study
    heads += ["file bytes", "file ms"][0 if sizes else 1 :] if files else []
    lines = []
    for r in rows:
        cells = [value_text(data, r, m) for m in metrics] + [format_spread(q, r.test) for q in tested]
        cells += ["" if r.front_probability is None else f"{r.front_probability:.0%}"] if probability else []
        cells += _file_cells(r.exported, interval=len(extras) > 1)[0 if sizes else 1 :] if files else []
        lines.append([r.name if r.baseline else str(r.trial), *cells])
    for head, cells in zip(heads, (list(column) for column in zip(*lines, strict=True)), strict=True):
        least = max(map(len, [*head.split(), *cells]))
        table.add_column(Text(head), justify="right", no_wrap=False, min_width=max(5, least))
    table.add_column("recipe", ratio=1, overflow="fold", min_width=recipe)
    for row, line in zip(rows, lines, strict=True):
        table.add_row(*(Text(cell, no_wrap=True) for cell in line), Text(recipe_phrase(row.recipe)))
    return table


def front_size_phrase(rows: Sequence[FrontRow]) -> str:
    """`8 trials`, or `8 trials and 2 baselines`."""
    baselines = sum(row.baseline for row in rows)
    trials = plural(len(rows) - baselines, "trial")
    return f"{trials} and {plural(baselines, 'baseline')}" if baselines else trials


def value_title(data: StudyData, rows: Sequence[FrontRow], name: str, *, short: bool = False) -> str:
    """The heading of a metric of the front: a quality says where its values come from."""
    title = SHORT_METRIC_TITLES.get(name, metric_title(name)) if short else metric_title(name)
    if name not in data.quality:
        return title
    if any(_has(row, "validation", name) for row in rows):
        return f"{title}, fresh seeds"
    return f"{title}, posterior" if name == data.quality[0] and data.posterior_means else title


def value_text(data: StudyData, row: FrontRow, name: str) -> str:
    """A metric by which a row is on the front: a quality with its deviation over fresh seeds, where there are some."""
    spread = format_spread(name, row.validation) if name in data.quality else ""
    return spread or format_metric(name, row.metrics.get(name))


def _file_cells(model: ExportedModel | None, *, interval: bool) -> list[str]:
    """Size and time of a member's exported model, the time with its 95 % interval where there is space."""
    if model is None:
        return ["", ""]
    latency = model.latency
    time = "" if latency is None else format_milliseconds(latency.ms)
    if latency is not None and interval:
        time += f" ({format_milliseconds(latency.low)} to {format_milliseconds(latency.high)})"
    return [format_metric("file_bytes", model.file_bytes), time]
