"""report.html: one file that opens without a network."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import TYPE_CHECKING

from autoreg.report.data.front import FrontRow, front_rows, title
from autoreg.report.data.pareto import normalizer_of, search_trace
from autoreg.report.data.predicted_latency import foretold_sentences
from autoreg.report.page.assets import CSS, SCRIPT
from autoreg.report.page.exported_models import files_section, time_section
from autoreg.report.page.sections import (
    asked,
    cards,
    esc,
    failure_section,
    front_table,
    gain_section,
    predictor_section,
    test_section,
)
from autoreg.report.plots.interactive import interactive_data, plotly_source, script_json
from autoreg.report.plots.style import DPI
from autoreg.report.text.words import test_use_sentences

if TYPE_CHECKING:
    from autoreg.report.data.load import StudyData
    from autoreg.report.plots.write import Plots

POLICY = "default-src 'none'; img-src data: blob:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"

IMPORTANCE = (
    "<p>How much of the variation of each objective (of its ranks over the complete trials) each parameter explains "
    "alone. With few trials small shares are noise.</p>"
)
SCREEN = 96  # pixels an inch that browsers count with


def render_html(data: StudyData, plots: Plots) -> str:
    """The whole page.

    Args:
        data: a loaded study.
        plots: what `write_plots` returned.

    Returns:
        HTML with everything inside; the page's own policy forbids loading anything from elsewhere.
    """
    rows = front_rows(data)
    normalizer = normalizer_of(data) if not data.complete.empty else None
    volume = float(search_trace(data, normalizer).hypervolume[-1]) if normalizer else None
    _, warning = test_use_sentences(data)
    sections = [
        ("asked", "What was asked", asked(data)),
        ("front", "The front", _front(data, rows)),
        ("gain", "Gain, and what it cost", gain_section(data, rows)),
        ("files", "What leaves", files_section(data)),
        ("time", "Costs beside time", time_section(data, rows)),
        ("predicted", "Predicted latency", _predicted(data, plots)),
        ("layers", "Layer by layer", _figure(plots, "layers", "wide") if rows else ""),
        ("pairs", "The front, pair by pair", _pairs(plots)),
        ("search", "The search", _search(data, plots)),
        ("failures", "Failed trials", failure_section(data)),
        ("test", "Uses of test data", test_section(data)),
    ]
    shown = [(anchor, name, body) for anchor, name, body in sections if body]
    nav = "".join(f'<a href="#{anchor}">{esc(name)}</a>' for anchor, name, _ in shown)
    body = "".join(f'<section id="{anchor}"><h2>{esc(name)}</h2>\n{text}</section>\n' for anchor, name, text in shown)
    alarm = f'<p class="warning"><b>Warning.</b> {esc(warning)}</p>' if warning else ""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{esc(data.name)} · autoreg</title>\n<style>{CSS}</style>\n</head>\n<body>\n"
        f"<header><h1>{esc(data.name)}</h1>\n"
        f'<p class="muted">a search by autoreg: {esc(_subtitle(data))}</p>\n{alarm}</header>\n'
        f"{cards(data, rows, volume)}<nav>{nav}</nav>\n<main>\n{body}</main>\n{_scripts(data, rows)}</body>\n</html>\n"
    )


def _subtitle(data: StudyData) -> str:
    sides = [[title(o) for o in data.objectives if (o in data.quality) is inside] for inside in (True, False)]
    return " against ".join(", ".join(side) for side in sides if side)


def _front(data: StudyData, rows: Sequence[FrontRow]) -> str:
    if len(data.metrics) < 2 or data.complete.empty:
        return front_table(data, rows)
    chooser = (
        '<div class="axes"><label>across <select id="axis-x"></select></label> '
        '<label>up <select id="axis-y"></select></label>'
        '<span class="muted">point at a trial to see its recipe</span></div>\n<div id="front-plot"></div>\n'
    )
    return chooser + front_table(data, rows)


def _scripts(data: StudyData, rows: Sequence[FrontRow]) -> str:
    if len(data.metrics) < 2 or data.complete.empty:
        return ""
    payload = script_json(interactive_data(data, rows))
    return (
        f"<script>{plotly_source()}</script>\n"
        f'<script type="application/json" id="front-data">{payload}</script>\n<script>{SCRIPT}</script>\n'
    )


def _figure(plots: Plots, name: str, kind: str = "") -> str:
    path = plots.files.get(name)
    if path is None:
        words = plots.sentences.get(name, "")
        return f'<p class="muted">{esc(words)}</p>\n' if words else ""
    content = path.read_bytes()
    width = round(int.from_bytes(content[16:20], "big") * SCREEN / DPI)  # bytes 16 to 19 of a PNG are its width
    code = base64.b64encode(content).decode("ascii")
    words = esc(name.replace("_", " "))
    return f'<figure class="{kind}"><img alt="{words}" width="{width}" src="data:image/png;base64,{code}"></figure>\n'


def _predicted(data: StudyData, plots: Plots) -> str:
    words = "".join(f"<p>{esc(sentence)}</p>\n" for sentence in foretold_sentences(data))
    return words + _figure(plots, "latency")


def _pairs(plots: Plots) -> str:
    figures = "".join(_figure(plots, name) for name in plots.files if name.startswith("front_"))
    return f'<div class="grid">{figures}</div>\n' if figures else ""


def _search(data: StudyData, plots: Plots) -> str:
    parts = [
        _figure(plots, "hypervolume", "wide"),
        "<h3>What it cost</h3>",
        _figure(plots, "cost", "wide"),
        "<h3>What mattered</h3>",
        IMPORTANCE if "importance" in plots.files else "",
        _figure(plots, "importance", "wide"),
        "<h3>How good predictions and stops were</h3>",
        predictor_section(data),
        _figure(plots, "predictor", ""),
    ]
    return "\n".join(parts)
