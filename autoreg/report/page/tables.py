"""Tables and pictures as the templates take them: plain text, escaped where it is shown."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass

from autoreg.report.plots.style import FIGURE_DPI
from autoreg.report.plots.write import Plots

CSS_DPI = 96  # pixels an inch that browsers count with


@dataclass(frozen=True)
class Cell:
    """One cell.

    Attributes:
        text: what it shows.
        details: what a click on it opens; empty for nothing.
        note: small text within the line that is clicked.
        remark: small text behind it.
    """

    text: str
    details: str = ""
    note: str = ""
    remark: str = ""


@dataclass(frozen=True)
class Column:
    """A column: its heading, and the CSS class of its cells."""

    title: str
    css: str = ""


@dataclass(frozen=True)
class Row:
    """A row: its cells, its CSS class, and text that stands under it over the whole width."""

    cells: Sequence[Cell]
    css: str = ""
    explanation: str = ""


@dataclass(frozen=True)
class PageTable:
    """A table, in a box that scrolls sideways on narrow screens."""

    columns: Sequence[Column]
    rows: Sequence[Row]


def text_cells(*texts: str) -> list[Cell]:
    """Cells of plain text."""
    return [Cell(text) for text in texts]


@dataclass(frozen=True)
class Picture:
    """A picture inside the page, or the sentence that stands in its place.

    Attributes:
        alt: what it shows.
        css: class of the figure, `wide` for one that scrolls on narrow screens.
        source: the PNG as a data URL; empty where there is a sentence.
        width: in CSS pixels.
        sentence: why there is no picture.
    """

    alt: str
    css: str = ""
    source: str = ""
    width: int = 0
    sentence: str = ""


def picture(plots: Plots, name: str, css: str = "") -> Picture | None:
    """One of the pictures that were written; None where there is neither a picture nor a sentence."""
    alt, path = name.replace("_", " "), plots.files.get(name)
    if path is None:
        sentence = plots.sentences.get(name, "")
        return Picture(alt, sentence=sentence) if sentence else None
    content = path.read_bytes()
    width = round(int.from_bytes(content[16:20], "big") * CSS_DPI / FIGURE_DPI)  # bytes 16 to 19 of a PNG: its width
    return Picture(alt, css, f"data:image/png;base64,{base64.b64encode(content).decode('ascii')}", width)
