"""The front as rows, and as text for people and programs."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from autoreg.errors import InputError
from autoreg.report.data.files import file_fields, milliseconds
from autoreg.report.text.phrase import recipe_phrase

if TYPE_CHECKING:
    from rich.table import Table

    from autoreg.report.data.load import StudyData

Format = Literal["table", "json", "csv"]
FORMATS: tuple[Format, ...] = ("table", "json", "csv")
TITLES = {
    "error": "error",
    "bpc": "bits/char",
    "flops": "FLOPs",
    "effective_flops": "effective FLOPs",
    "bops": "bit-operations",
    "weights": "weights",
    "params": "parameters",
    "bytes": "bytes",
    "file_bytes": "file bytes",
    "latency_ms": "latency (ms)",
}
SHORT = {"effective_flops": "eff. FLOPs", "bops": "bit-ops", "latency_ms": "ms"}


@dataclass(frozen=True)
class FrontRow:
    """One member of the front.

    Attributes:
        trial: its number.
        source: who proposed it.
        metrics: what the search measured, with the seed that selected it.
        phrase: the recipe in a few words.
        recipe: the config itself.
        validation: `{"mean": {...}, "std": {...}, "values": [...]}` over fresh seeds, empty when not re-measured.
        test: `{"mean": {...}, "std": {...}}`, empty before the final measurement.
        test_sets: the same number for each test set, where a task has several.
        hv_contribution: the hypervolume that only this member brings.
        front_probability: how often it is on the front when the seeds are drawn anew: of the fresh seeds once there
            are some, before that as the search believes.
        replicated: whether it was re-trained with other seeds.
        on_final_front: whether it is still on the front by the means over fresh seeds; None when not re-measured.
        file: `{"name", "bytes", "ms", "low", "high"}` of its exported file: size on disk, measured milliseconds with
            their 95 % interval (None where it was not timed); empty where there is no file.
    """

    trial: int
    source: str
    metrics: Mapping[str, float]
    phrase: str
    recipe: Mapping[str, Any]
    validation: Mapping[str, Any] = field(default_factory=dict)
    test: Mapping[str, Any] = field(default_factory=dict)
    test_sets: Mapping[str, Any] = field(default_factory=dict)
    hv_contribution: float | None = None
    front_probability: float | None = None
    replicated: bool = False
    on_final_front: bool | None = None
    file: Mapping[str, Any] = field(default_factory=dict)


def front_rows(data: StudyData) -> list[FrontRow]:
    """The members of the front, best quality first, with what final.json knows of each.

    Trials that were re-measured since the search believes them to be on the front are among them.
    """
    members, files = {m.get("trial"): m for m in data.members}, file_fields(data)
    rows: list[FrontRow] = []
    for _, trial in data.shown_front.iterrows():
        number = int(trial["number"])
        member = members.get(number, {})
        chance = member.get("front_probability")
        config = data.state.records[number].config
        rows.append(
            FrontRow(
                trial=number,
                source=str(trial["source"]),
                metrics={m: float(trial[m]) for m in data.metrics if not math.isnan(trial[m])},
                phrase=recipe_phrase(config),
                recipe=config,
                validation=member.get("validation") or {},
                test=member.get("test") or {},
                test_sets=member.get("test_sets") or {},
                hv_contribution=member.get("hv_contribution"),
                front_probability=data.chances.get(number) if chance is None else chance,
                replicated=bool(member.get("replicated")),
                on_final_front=member.get("on_final_front"),
                file=files.get(number, {}),
            )
        )
    return rows


def format_front(data: StudyData, format: str = "table", width: int | None = None) -> str:
    """The front as text.

    `json` is one object: `study`, `objectives` {name: min or max}, `front`: a list of members, best quality
    first, each with the fields of `FrontRow`. `csv` has one line a member: `trial`, `source`, one column a
    metric, `validation.NAME.mean`, `validation.NAME.std`, `test.NAME.mean`, `test.NAME.std` for every
    quality objective that was re-measured, `file_bytes`, `file_ms`, `file_ms.low`, `file_ms.high` where members were
    exported, `hv_contribution`, `front_probability`, `replicated`,
    `on_final_front`, `phrase`, and `recipe` (the config as JSON). Unknown numbers are null in JSON and empty in
    CSV. Both only gain fields in later versions. `table` is for people and may change.

    Args:
        data: a loaded study.
        format: `table`, `json` or `csv`.
        width: columns of the table; by default those of the terminal.

    Raises:
        InputError: for another format.
    """
    if format not in FORMATS:
        raise InputError(f"format: found {format!r}; allowed are {', '.join(FORMATS)}")
    rows = front_rows(data)
    if format == "json":
        body = {"study": data.name, "objectives": data.objectives, "front": [asdict(r) for r in rows]}
        return json.dumps(body, indent=2, allow_nan=False)
    return _csv(data, rows) if format == "csv" else _table(data, rows, width)


def format_metric(name: str, value: float | None) -> str:
    """One value for people: FLOPs and bytes with k, M, G, the rest with three digits."""
    if value is None or not math.isfinite(value):
        return ""
    if name in ("flops", "effective_flops", "bops", "weights", "params", "bytes", "file_bytes"):
        return short_number(value)
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"


def short_number(value: float) -> str:
    """`1.2M` for 1 234 567."""
    for limit, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= limit:
            return f"{value / limit:.3g}{unit}"
    return f"{value:.3g}"


def spread_text(name: str, block: Mapping[str, Any]) -> str:
    """`0.031 ± 0.004` from `{"mean": {...}, "std": {...}}`; empty when the metric is not there."""
    mean, std = (block.get("mean") or {}).get(name), (block.get("std") or {}).get(name)
    if not isinstance(mean, int | float):
        return ""
    text = format_metric(name, float(mean))
    return f"{text} ± {float(std):.2g}" if isinstance(std, int | float) else text


def title(name: str) -> str:
    """The name of a metric for people."""
    return TITLES.get(name, name)


def _csv(data: StudyData, rows: Sequence[FrontRow]) -> str:
    blocks = [
        (kind, name)
        for kind in ("validation", "test")
        for name in data.quality
        if any(name in (getattr(r, kind).get("mean") or {}) for r in rows)
    ]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    spread = [f"{kind}.{name}.{part}" for kind, name in blocks for part in ("mean", "std")]
    last = ["hv_contribution", "front_probability", "replicated", "on_final_front", "phrase", "recipe"]
    files = {"file_bytes": "bytes", "file_ms": "ms", "file_ms.low": "low", "file_ms.high": "high"}
    files = {name: key for name, key in files.items() if any(r.file for r in rows) and name not in data.metrics}
    writer.writerow(["trial", "source", *data.metrics, *spread, *files, *last])
    for r in rows:
        found = [(getattr(r, kind).get(part) or {}).get(name) for kind, name in blocks for part in ("mean", "std")]
        tail = [r.hv_contribution, r.front_probability, r.replicated, r.on_final_front, r.phrase, json.dumps(r.recipe)]
        own = [r.file.get(key) for key in files.values()]
        cells = [r.trial, r.source, *(r.metrics.get(m) for m in data.metrics), *found, *own, *tail]
        writer.writerow(["" if c is None else c for c in cells])
    return out.getvalue()


def _table(data: StudyData, rows: Sequence[FrontRow], width: int | None) -> str:
    from rich.console import Console

    if not rows:
        return f"{data.name}: {no_front_sentence(data)}\n"
    width = width or _terminal_width()
    out = io.StringIO()
    console = Console(file=out, width=width, color_system=None)
    more = ("effective_flops", "bops", "bytes") if width >= 140 else ("bytes",) if width >= 100 else ()
    room = console.options.update(width=10 * width)
    for extras, files, recipe in ((more, True, 22), (("bytes",), True, 22), ((), True, 20), ((), False, 20)):
        table = _rich_table(data, rows, extras, files and width >= 100, recipe)
        if console.measure(table, options=room).minimum <= width:
            break  # rich cuts off what does not fit, so columns go until the rest does
    else:
        table = _rich_table(data, rows, (), False, 8)
    console.print(table)
    lines = (line.rstrip() for line in out.getvalue().splitlines())
    return "\n".join(lines).strip() + "\n"


def _rich_table(data: StudyData, rows: Sequence[FrontRow], extras: Sequence[str], files: bool, recipe: int) -> Table:
    """The front for a terminal, with further costs, and size and time of the exported files where there are any.

    The last column, the recipe, has at least `recipe` characters.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    shown = [*data.objectives, *(c for c in extras if c in data.metrics and c not in data.objectives)]
    validated = [q for q in data.quality if any(spread_text(q, r.validation) for r in rows)]
    tested = [q for q in data.quality if any(spread_text(q, r.test) for r in rows)]
    chance = bool(extras) and any(r.front_probability is not None for r in rows)
    files = files and any(r.file for r in rows)
    heading = Text(f"{data.name}: {len(data.front)} of {len(data.complete)} complete trials are on the front")
    table = Table(box=box.SIMPLE_HEAD, title=heading, title_justify="left", padding=(0, 1), pad_edge=False)
    heads = ["trial", *(SHORT.get(m, title(m)) for m in shown)]
    heads += [f"{title(q)}, new seeds" for q in validated] + [f"{title(q)}, test" for q in tested]
    heads += ["on the front with"] if chance else []
    heads += ["file", "file ms"] if files else []
    lines = []
    for r in rows:
        numbers = [format_metric(m, r.metrics.get(m)) for m in shown]
        numbers += [spread_text(q, r.validation) for q in validated] + [spread_text(q, r.test) for q in tested]
        numbers += ["" if r.front_probability is None else f"{r.front_probability:.0%}"] if chance else []
        numbers += _file_cells(r, interval=len(extras) > 1) if files else []
        lines.append([str(r.trial), *numbers])
    for head, cells in zip(heads, zip(*lines, strict=True), strict=True):
        least = max(map(len, [*head.split(), *cells]))
        table.add_column(Text(head), justify="right", no_wrap=False, min_width=max(5, least))
    table.add_column("recipe", ratio=1, overflow="fold", min_width=recipe)
    for row, line in zip(rows, lines, strict=True):
        table.add_row(*(Text(cell, no_wrap=True) for cell in line), Text(row.phrase))
    return table


def _file_cells(row: FrontRow, *, interval: bool) -> list[str]:
    """Size and time of a member's file, the time with its 95 % interval where asked for."""
    ms, low, high = (row.file.get(name) for name in ("ms", "low", "high"))
    time = "" if ms is None else milliseconds(ms)
    if time and interval and low is not None and high is not None:
        time += f" ({milliseconds(low)} to {milliseconds(high)})"
    return [format_metric("file_bytes", row.file.get("bytes")), time]


def _terminal_width() -> int:
    import shutil

    return max(80, shutil.get_terminal_size((120, 24)).columns)


def no_front_sentence(data: StudyData) -> str:
    """Why there is no front, in a sentence."""
    states = data.trials["state"].value_counts()
    parts = [
        f"{int(states.get(state, 0))} {word}"
        for state, word in (("COMPLETE", "complete"), ("PRUNED", "stopped"), ("FAIL", "failed"), ("RUNNING", "running"))
        if states.get(state, 0)
    ]
    if not parts:
        return "no trial has begun yet."
    if states.get("COMPLETE", 0):
        return f"no trial meets the constraints so far ({', '.join(parts)})."
    return f"no trial is complete so far ({', '.join(parts)})."
