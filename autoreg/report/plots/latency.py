"""Predicted against measured latency."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autoreg.report.data.load import StudyData
from autoreg.report.data.predicted_latency import latency_predictions, prediction_error_quantiles
from autoreg.report.plots.style import (
    FRONT_COLOR,
    MUTED_COLOR,
    PRUNED_COLOR,
    SERIES_COLORS,
    heading,
    legend_below,
    log_ticks,
    new_axes,
    new_figure,
    tick_text,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


ERROR_BAND = 0.1  # of the measured time
AXIS_MARGIN = 1.25  # factor between the outermost points and the frame


def plot_latency(data: StudyData) -> Figure | str:
    """One point a measured network; the diagonal, and a band of ± 10 % about it."""
    pairs = latency_predictions(data)
    if not pairs:
        return "Predicted latency: no trial has both a predicted and a measured one."
    values = [value for pair in pairs for value in (pair.measured, pair.predicted)]
    ends = (min(values) / AXIS_MARGIN, max(values) * AXIS_MARGIN)
    figure = new_figure(5.6, 5.0)
    ax = new_axes(figure)
    ax.fill_between(
        ends,
        [e * (1 - ERROR_BAND) for e in ends],
        [e * (1 + ERROR_BAND) for e in ends],
        color=PRUNED_COLOR,
        alpha=0.18,
        lw=0,
    )
    ax.plot(ends, ends, color=MUTED_COLOR, lw=1)
    for color, integers, label in ((FRONT_COLOR, False, "fp32"), (SERIES_COLORS[2], True, "with 8-bit layers")):
        own = [pair for pair in pairs if pair.integers is integers]
        if own:
            x, y = [pair.measured for pair in own], [pair.predicted for pair in own]
            spread = [[pair.predicted - pair.low for pair in own], [pair.high - pair.predicted for pair in own]]
            ax.errorbar(x, y, yerr=spread, fmt="none", ecolor=color, alpha=0.3, lw=1)
            ax.plot(x, y, "o", color=color, ms=5, mec="white", mew=0.6, ls="none", label=label)
    _square(ax, ends)
    median, p90 = prediction_error_quantiles(pairs)
    heading(ax, "Predicted against measured latency", f"error: median {median:.1%}, 90th percentile {p90:.1%}")
    legend_below(figure, ax)
    return figure


def _square(ax: Axes, ends: tuple[float, float]) -> None:
    """The same logarithmic scale on both axes."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    ax.set_xscale("log")
    ax.set_yscale("log")
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(FixedLocator(log_ticks(*ends)))
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(FuncFormatter(lambda value, _: tick_text(value)))
    ax.set_xlim(*ends)
    ax.set_ylim(*ends)
    ax.set_aspect("equal")
    ax.set_xlabel("measured ms, log scale")
    ax.set_ylabel("predicted ms, log scale")
