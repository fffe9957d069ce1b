"""How the pictures look: colours, axes, labels that do not cover each other. No global state of matplotlib."""

from __future__ import annotations

import io
import math
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autoreg.files import write_whole
from autoreg.report.text.metrics import metric_title, short_number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FIGURE_DPI = 150
SUBTITLE_SIZE = 8.5
CHARACTER_WIDTH = 0.52
"""Of the average character of a line of text, as a share of the font's size."""
TEXT_COLOR, MUTED_COLOR, GRID_COLOR = "#1f2430", "#6b7280", "#e5e7eb"
FRONT_COLOR, DOMINATED_COLOR, PRUNED_COLOR, BASELINE_COLOR, FRESH_SEEDS_COLOR = (
    "#1d4ed8",
    "#9db4dd",
    "#9ca3af",
    "#b45309",
    "#047857",
)
SERIES_COLORS = ("#1d4ed8", "#b45309", "#047857", "#7c3aed", "#be123c", "#0891b2", "#4d7c0f", "#6b7280")


def new_figure(width: float = 7.0, height: float = 4.4) -> Figure:
    """A figure in inches that pyplot does not know of; `save` writes it."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=FIGURE_DPI, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def new_axes(figure: Figure, *position: int) -> Axes:
    """Axes with a light grid and no frame above and to the right."""
    ax = figure.add_subplot(*position) if position else figure.add_subplot()
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        ax.spines[side].set_color(MUTED_COLOR)
    ax.tick_params(colors=TEXT_COLOR, labelsize=9, which="both")
    ax.grid(True, color=GRID_COLOR, linewidth=0.7)
    ax.set_axisbelow(True)
    ax.xaxis.label.set_fontsize(10)
    ax.yaxis.label.set_fontsize(10)
    return ax


def heading(ax: Axes, text: str, below: str = "") -> None:
    """A bold heading above the axes, and muted lines under it, broken at their width."""
    points = ax.bbox.width / FIGURE_DPI * 72
    lines = textwrap.wrap(below, max(20, int(points / (CHARACTER_WIDTH * SUBTITLE_SIZE))))
    title = text + "\n" * len(lines)
    ax.set_title(title, loc="left", fontsize=11, fontweight="bold", color=TEXT_COLOR, pad=8)
    if lines:
        note = ax.annotate(
            "\n".join(lines),
            (0, 1),
            (0, 6),
            xycoords="axes fraction",
            textcoords="offset points",
            fontsize=SUBTITLE_SIZE,
            color=MUTED_COLOR,
        )
        note.set_in_layout(False)  # a line longer than the picture would leave the axes no room


def save(figure: Figure, path: Path) -> Path:
    """Write a PNG in one step and empty the figure."""
    content = io.BytesIO()
    figure.savefig(content, format="png", metadata={"Software": "autoreg"})
    figure.clear()
    write_whole(path, content.getvalue())
    return path


def scale_axis(ax: Axes, which: str, name: str, values: Sequence[float], log: bool) -> None:
    """Label an axis and give it a scale on which numbers can be read.

    A logarithmic axis gets ticks at 1, 2 and 5 times powers of ten, fewer where it spans many decades;
    values that span less than a factor of three, or are not positive, get a linear one.
    """
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    axis = ax.xaxis if which == "x" else ax.yaxis
    axis.set_label_text(metric_title(name) + (", log scale" if log and _wide(values) else ""))
    write: Callable[[float, Any], str] = lambda v, _: tick_text(v)  # noqa: E731
    if log and _wide(values):
        (ax.set_xscale if which == "x" else ax.set_yscale)("log")
        axis.set_major_locator(FixedLocator(log_ticks(min(values), max(values))))
        axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(write))


def _wide(values: Sequence[float]) -> bool:
    return bool(values) and min(values) > 0 and max(values) / min(values) >= 3


def log_ticks(low: float, high: float) -> list[float]:
    """Ticks between `low` and `high` (both > 0) with one decade to spare: 1, 2, 5 or whole decades."""
    decades = math.log10(high / low)
    steps = (
        (1, 1.5, 2, 3, 4, 5, 7) if decades < 0.9 else (1, 2, 5) if decades < 2 else (1, 3) if decades < 3.5 else (1,)
    )
    powers = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 2)
    return [step * 10.0**p for p in powers for step in steps]


def tick_text(value: float) -> str:
    """A tick label: `0.05`, `200`, `1.5M`."""
    return (
        short_number(value)
        if abs(value) >= 10_000
        else f"{value:.10g}"
        if value == 0 or abs(value) >= 0.001
        else f"{value:.0e}"
    )


def legend_below(figure: Figure, ax: Axes, columns: int = 3) -> None:
    """The legend under the axes, where it covers nothing."""
    handles, labels = ax.get_legend_handles_labels()
    if handles:
        figure.legend(
            handles, labels, loc="outside lower left", ncols=columns, fontsize=8, frameon=False, labelcolor=TEXT_COLOR
        )


def place_labels(
    ax: Axes, points: Sequence[tuple[float, float, str, str]], avoid: Sequence[tuple[float, float]] = ()
) -> int:
    """Write labels beside points, each where it covers neither an earlier label nor a marker, else nowhere.

    Args:
        ax: axes whose limits and scales are final.
        points: (x, y, text, colour) in data coordinates, the most important first.
        avoid: further points that labels should not cover.

    Returns:
        How many labels were placed.
    """
    figure: Any = ax.figure
    figure.draw_without_rendering()
    renderer = figure.canvas.get_renderer()
    frame = ax.get_window_extent(renderer)
    markers = [tuple(ax.transData.transform(p)) for p in [*((x, y) for x, y, _, _ in points), *avoid]]
    taken: list[Any] = []
    placed = 0
    offsets = (
        (6, 4, "left", "bottom"),
        (6, -4, "left", "top"),
        (-6, 4, "right", "bottom"),
        (-6, -4, "right", "top"),
        (0, 8, "center", "bottom"),
    )
    for x, y, text, color in points:
        for dx, dy, horizontal, vertical in offsets:
            label = ax.annotate(
                text,
                (x, y),
                (dx, dy),
                textcoords="offset points",
                fontsize=8,
                color=color,
                ha=horizontal,
                va=vertical,
                zorder=9,
            )
            box = label.get_window_extent(renderer).padded(3)
            inside = frame.x0 <= box.x0 and box.x1 <= frame.x1 + 30 and frame.y0 <= box.y0 and box.y1 <= frame.y1 + 6
            covers = any(box.x0 - 2 < mx < box.x1 + 2 and box.y0 - 2 < my < box.y1 + 2 for mx, my in markers)
            if inside and not covers and not any(box.overlaps(other) for other in taken):
                taken.append(box)
                placed += 1
                break
            label.remove()
    return placed
