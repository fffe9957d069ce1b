"""The report of a study: the page, the tables and the pictures, written into its folder."""

from __future__ import annotations

import io
from pathlib import Path

from autoreg.engine.log.events import safe_text
from autoreg.files import write_whole
from autoreg.report.data.load import StudyData
from autoreg.report.page.render import render_html
from autoreg.report.plots.write import write_plots
from autoreg.report.text.front import format_front


def write_report(folder: str | Path) -> Path:
    """Write report.html, front.csv, trials.parquet and plots/*.png into a study's folder.

    Works at any moment of a study: before the first trial has finished, while it runs, after it failed. Every
    file is replaced in one step, so a reader sees the old one or the new one.

    Args:
        folder: the study's folder, with study.json and events.jsonl.

    Returns:
        The path of report.html.

    Raises:
        InputError: when the folder holds no study.
        StudyError: when its log is damaged.
    """
    folder = Path(folder)
    data = StudyData.load(folder)
    # `safe_text`: the name of a folder may hold what cannot be encoded
    write_whole(folder / "front.csv", safe_text(format_front(data, "csv")).encode())
    table = io.BytesIO()
    data.trials.to_parquet(table, index=False)
    write_whole(folder / "trials.parquet", table.getvalue())
    plots = write_plots(data, folder / "plots")
    page = folder / "report.html"
    write_whole(page, safe_text(render_html(data, plots)).encode())
    return page
