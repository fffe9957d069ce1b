"""What leaves the study: files with their sizes and times, and beside each why its time is what it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from autoreg.report.data.compare import Comparer, costs_of, time_notes
from autoreg.report.data.files import FileRow, agreement_words, file_rows, milliseconds, running_words
from autoreg.report.data.front import FrontRow, format_metric, title
from autoreg.report.data.timed import Timed, comparison
from autoreg.report.page.sections import esc
from autoreg.report.text.phrase import recipe_phrase
from autoreg.report.text.time_reasons import reasons
from autoreg.report.text.words import latency_sentence, latency_words

if TYPE_CHECKING:
    from autoreg.report.data.load import StudyData

SHOWN_NOTES = 20


def files_section(data: StudyData) -> str:
    """The files of the final front as a table, with sentences under each row; empty before they are written."""
    rows = file_rows(data)
    if not rows:
        return ""
    comparer = Comparer.of(data)
    dense = next((row for row in rows if row.trial is None and not row.fault), None)
    quality = data.main
    heads = [
        ("name", "file of"),
        ("", "recipe"),
        ("num", f"{esc(title(quality))} of the file"),
        ("num", "size on disk"),
        ("num", "FLOPs"),
        ("num", "effective FLOPs"),
        ("num", "ms (95 % interval)"),
        ("num", "times as fast as dense"),
        ("", "how its layers run"),
        ("", "against the trial"),
    ]
    top = "".join(f'<th scope="col" class="{kind}">{text}</th>' for kind, text in heads)
    body = "".join(_member(comparer, row, dense, quality, heads) for row in rows)
    return (
        f"<p>{esc(_how(rows))}</p>\n"
        f'<div class="scroll"><table class="files"><thead><tr>{top}</tr></thead>\n{body}</table></div>\n'
        f"{_remarks(rows)}"
    )


def _member(
    comparer: Comparer, row: FileRow, dense: FileRow | None, quality: str, heads: Sequence[tuple[str, str]]
) -> str:
    """One file as a group of rows: its numbers, and under them what they say."""
    record = comparer.dense if row.trial is None else comparer.record(row.trial)
    costs = dict(comparer.data.dense) if row.trial is None else costs_of(record) if record else {}
    phrase = "dense" if row.trial is None else recipe_phrase(record.config) if record else ""
    layers = comparer.layers(row.trial, row.runs)
    net = None if row.trial is None else comparer.file(row, dense)
    cells = [
        esc(row.name),
        esc(phrase if phrase != row.name else ""),
        esc(_quality(row, quality)),
        "" if row.file_bytes is None else esc(f"{row.file_bytes:,}"),
        esc(format_metric("flops", costs.get("flops"))),
        esc(format_metric("effective_flops", costs.get("effective_flops"))),
        esc(_milliseconds(row)),
        "" if net is None else f"{1 / net.time:.2f}×",
        "" if row.fault else esc(running_words(layers, row.runs)),
        esc(agreement_words(row.agreement)),
    ]
    shown = "".join(f'<td class="{kind}">{cell}</td>' for (kind, _), cell in zip(heads, cells, strict=True))
    words = f"There is no file: {row.fault}" if row.fault else _sentences(net) if net is not None else ""
    under = f'<tr class="why"><td></td><td colspan="{len(heads) - 1}">{esc(words)}</td></tr>' if words else ""
    kind = ' class="baseline"' if row.trial is None else ""
    return f'<tbody class="file"><tr{kind}>{shown}</tr>{under}</tbody>\n'


def _sentences(net: Timed) -> str:
    return " ".join([comparison(net), *reasons(net)])


def _quality(row: FileRow, quality: str) -> str:
    mine, recorded = (format_metric(quality, found.get(quality)) for found in (row.metrics, row.recorded))
    return mine if not recorded or mine == recorded else f"{mine} (recorded {recorded})"


def _milliseconds(row: FileRow) -> str:
    if row.ms is None:
        return ""
    middle, low, high = (milliseconds(value) for value in row.ms)
    return f"{middle} ({low} to {high})" + (", disturbed" if row.latency is not None and row.latency.noisy else "")


def _how(rows: Sequence[FileRow]) -> str:
    """How the files were made, run and timed, once for all."""
    timed = [row.latency for row in rows if row.latency is not None]
    text = (
        "The dense network and the members of the final front as they leave: exported in the same way, run on the "
        "validation data and compared with what the trial recorded."
    )
    if timed:
        words = latency_words(timed[0], runs=False)
        text += " They were timed in turn, a few calls of each, in one process"
        text += f": {words}." if words else "."
        text += " The latency of the search is that of an untrained network of the same structure and bits."
    if any(latency.noisy for latency in timed):
        text += " The machine was disturbed meanwhile: do not trust these times."
    if not any(row.trial is None and row.ms is not None for row in rows):
        text += " The dense network was not timed, so there is nothing to compare with."
    return text


def _remarks(rows: Sequence[FileRow]) -> str:
    """Notes of the export, each once with the files it holds for."""
    found: dict[str, list[str]] = {}
    for row in rows:
        for note in row.notes:
            found.setdefault(note, []).append(row.name)
    items = "".join(f"<li>{esc(_named(names))}: {esc(note)}</li>" for note, names in found.items())
    return f'<ul class="muted">{items}</ul>\n' if items else ""


def _named(names: Sequence[str]) -> str:
    numbers = [name.removeprefix("trial ") for name in names if name.startswith("trial ")]
    rest = [name for name in names if not name.startswith("trial ")]
    trials = [f"trial{'s' if len(numbers) > 1 else ''} {', '.join(numbers)}"] if numbers else []
    return ", ".join([*rest, *trials])


def time_section(data: StudyData, rows: Sequence[FrontRow]) -> str:
    """How time followed the other costs, by the trials' own times; empty once there are files that say it."""
    if not rows or "latency_ms" not in data.metrics or file_rows(data):
        return ""
    notes = time_notes(data, rows)
    how = latency_sentence(data)
    intro = f"<p>{esc(how)}</p>\n" if how else ""
    if not notes:
        return f"{intro}<p>On this front time followed the other costs.</p>\n"
    more = f"<p>{len(notes) - SHOWN_NOTES} further members are alike.</p>\n" if len(notes) > SHOWN_NOTES else ""
    items = "".join(f"<li>{esc(note)}</li>" for note in notes[:SHOWN_NOTES])
    return f"{intro}<ul>{items}</ul>\n{more}"
