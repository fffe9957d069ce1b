"""The report of a study: the page, the tables and the pictures, written into its folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from autoreg.report.data.front import format_front
from autoreg.report.data.load import StudyData

if TYPE_CHECKING:
    import pandas as pd


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
    from autoreg.report.page.render import render_html
    from autoreg.report.plots.write import write_plots

    folder = Path(folder)
    data = StudyData.load(folder)
    _replace(folder / "front.csv", format_front(data, "csv").encode())
    _write_parquet(data.trials, folder / "trials.parquet")
    plots = write_plots(data, folder / "plots")
    page = folder / "report.html"
    _replace(page, render_html(data, plots).encode())
    return page


def _replace(path: Path, content: bytes) -> None:
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(content)
    os.replace(part, path)


def _write_parquet(table: pd.DataFrame, path: Path) -> None:
    part = path.with_name(f".{path.name}.part")
    table.to_parquet(part, index=False)
    os.replace(part, path)
