"""report.html: one file that opens without a network."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from autoreg.report.front import FrontRow, front_rows
from autoreg.report.interactive import SCRIPT, interactive_data, plotly_source, script_json
from autoreg.report.pareto import normalizer_of, search_trace
from autoreg.report.sections import (
    asked,
    cards,
    esc,
    failure_section,
    front_table,
    gain_section,
    predictor_section,
    test_section,
    time_section,
)
from autoreg.report.words import test_use_sentences

if TYPE_CHECKING:
    from autoreg.report.load import StudyData

POLICY = "default-src 'none'; img-src data: blob:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
CSS = """
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1120px; padding: 24px 20px 64px; background: #fff; color: #1f2430;
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 4px; overflow-wrap: anywhere; }
h2 { font-size: 1.3rem; margin: 44px 0 10px; padding-top: 12px; border-top: 1px solid #e5e7eb; }
h3 { font-size: 1.02rem; margin: 26px 0 6px; }
p { max-width: 76ch; } ul { padding-left: 1.2em; max-width: 84ch; } li { margin: 5px 0; }
small, .muted { color: #6b7280; }
nav { margin: 10px 0 22px; display: flex; flex-wrap: wrap; gap: 4px 16px; font-size: .92rem; } nav a { color: #1d4ed8; text-decoration: none; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 12px; }
.card { border: 1px solid #e5e7eb; border-radius: 10px; padding: 12px 14px; background: #fafbfc; }
.card b { display: block; font-size: 1.55rem; line-height: 1.2; font-variant-numeric: tabular-nums; }
.card span { display: block; } .card small { display: block; line-height: 1.35; }
.note { border-left: 4px solid #1d4ed8; background: #eff6ff; padding: 10px 14px; border-radius: 0 8px 8px 0; }
.warning { border-left: 4px solid #b91c1c; background: #fef2f2; padding: 10px 14px; border-radius: 0 8px 8px 0; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 4px 18px; margin: 12px 0; }
dt { color: #6b7280; } dd { margin: 0; overflow-wrap: anywhere; }
.scroll { overflow-x: auto; margin: 10px 0; border: 1px solid #e5e7eb; border-radius: 10px; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; }
th { text-align: left; font-weight: 600; background: #f6f7f9; vertical-align: bottom; }
th, td { padding: 7px 12px; border-bottom: 1px solid #eef0f3; } tbody tr:last-child td { border-bottom: 0; }
td { vertical-align: top; } .num { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; } th.num { white-space: normal; }
.recipe { min-width: 250px; } tr.baseline td { background: #fff8ec; }
summary { cursor: pointer; } pre { overflow: auto; max-height: 420px; font-size: .8rem; line-height: 1.4; background: #f6f7f9; padding: 10px; border-radius: 8px; }
.axes { display: flex; flex-wrap: wrap; gap: 8px 20px; align-items: center; margin: 8px 0; }
select { font: inherit; padding: 4px 8px; border: 1px solid #c7ccd4; border-radius: 6px; background: #fff; }
.grid { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 460px), 1fr)); gap: 18px; }
figure { margin: 8px 0; overflow-x: auto; } img { max-width: 100%; height: auto; display: block; }
.wide img { max-width: none; width: max(100%, 620px); } figure.natural img { width: auto; max-width: 100%; }
@media (max-width: 640px) { body { padding: 16px 12px 48px; } dl { grid-template-columns: 1fr; gap: 0; } dd { margin-bottom: 8px; } h1 { font-size: 1.5rem; } }
"""


def render_html(data: StudyData, plots: Mapping[str, Path]) -> str:
    """The whole page.

    Args:
        data: a loaded study.
        plots: PNG files by name, as `write_plots` returns them; those that are missing are left out.

    Returns:
        HTML with everything inside; the page's own policy forbids loading anything from elsewhere.
    """
    rows = front_rows(data)
    normalizer = normalizer_of(data) if data.state.told else None
    volume = float(search_trace(data, normalizer).hypervolume[-1]) if normalizer else None
    _, warning = test_use_sentences(data)
    sections = [
        ("asked", "What was asked", asked(data)),
        ("front", "The front", _front(data, rows)),
        ("gain", "Gain, and what it cost", gain_section(data, rows)),
        ("time", "Where a cost fell and time did not", time_section(data, rows)),
        ("layers", "Layer by layer", _figure(plots, "layers", "wide") if data.study.get("task") else ""),
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
        f'<header><h1>{esc(data.name)}</h1>\n<p class="muted">a search by autoreg: {esc(_subtitle(data))}</p>\n{alarm}</header>\n'
        f"{cards(data, rows, volume)}<nav>{nav}</nav>\n<main>\n{body}</main>\n{_scripts(data, rows)}</body>\n</html>\n"
    )


def _subtitle(data: StudyData) -> str:
    goals = " against ".join([", ".join(data.quality), ", ".join(o for o in data.objectives if o not in data.quality)])
    return goals.strip().removesuffix(" against").removeprefix("against ")


def _front(data: StudyData, rows: Sequence[FrontRow]) -> str:
    if len(data.metrics) < 2 or data.complete.empty:
        return front_table(data, rows)
    chooser = (
        '<div class="axes"><label>across <select id="axis-x"></select></label> <label>up <select id="axis-y"></select></label>'
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


def _figure(plots: Mapping[str, Path], name: str, kind: str = "") -> str:
    path = plots.get(name)
    if path is None:
        return ""
    code = base64.b64encode(path.read_bytes()).decode("ascii")
    return f'<figure class="{kind}"><img alt="{esc(name.replace("_", " "))}" src="data:image/png;base64,{code}"></figure>\n'


def _pairs(plots: Mapping[str, Path]) -> str:
    figures = "".join(_figure(plots, name) for name in plots if name.startswith("front_"))
    return f'<div class="grid">{figures}</div>\n' if figures else ""


def _search(data: StudyData, plots: Mapping[str, Path]) -> str:
    parts = [
        _figure(plots, "hypervolume", "wide"),
        "<h3>What it cost</h3>",
        _figure(plots, "cost", "wide"),
        "<h3>What mattered</h3><p>How much of the variation of each objective (of its ranks over the complete trials) each "
        "parameter explains alone. With few trials small shares are noise.</p>",
        _figure(plots, "importance", "wide"),
        "<h3>How good the predictor was</h3>",
        predictor_section(data),
        _figure(plots, "predictor", "natural"),
    ]
    return "\n".join(parts)
