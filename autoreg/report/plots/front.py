"""The picture of a front: two metrics of every trial, the staircase of the best, baselines, fresh seeds."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from autoreg.report.data.front import FrontRow, baseline_points, front_rows, left_rows, metric_direction
from autoreg.report.data.hypervolume import front_mask
from autoreg.report.data.load import StudyData
from autoreg.report.data.trial_table import COST_COLUMNS
from autoreg.report.plots.style import (
    BASELINE_COLOR,
    DOMINATED_COLOR,
    FRESH_SEEDS_COLOR,
    FRONT_COLOR,
    PRUNED_COLOR,
    heading,
    legend_below,
    new_axes,
    new_figure,
    place_labels,
    scale_axis,
)
from autoreg.report.text.metrics import metric_title

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


MAX_DOMINATED_POINTS = 1500
PLOTTED_COSTS = ("flops", "effective_flops", "bops", "bytes", "file_bytes", "latency_ms")


def metric_pairs(data: StudyData) -> list[tuple[str, str]]:
    """The pairs (x, y) that are plotted: all objectives against each other, and recorded costs against quality."""
    names = list(data.objectives)
    pairs = [(b, a) if a in data.quality else (a, b) for a, b in itertools.combinations(names, 2)]
    pairs += [(cost, quality) for quality in data.quality for cost in PLOTTED_COSTS if cost in data.metrics]
    return list(dict.fromkeys(p for p in pairs if data.trials[list(p)].notna().all(axis=1).any()))


def thin(rows: pd.DataFrame, limit: int = MAX_DOMINATED_POINTS) -> pd.DataFrame:
    """Every n-th row, so that at most `limit` are left."""
    return rows if len(rows) <= limit else rows.iloc[:: -(-len(rows) // limit)]


def plot_pair(data: StudyData, x: str, y: str) -> Figure:
    """Draw metric `y` over metric `x` for all trials of a study."""
    figure = new_figure(7.0, 5.0)
    ax = new_axes(figure)
    known = data.trials.dropna(subset=[x, y])
    good = known[(known["state"] == "COMPLETE") & known["feasible"] & ~known["on_front"]]
    rest = known[(known["state"] == "COMPLETE") & ~known["feasible"]]
    members = [_point(row, x, y) for row in front_rows(data) if x in row.metrics and y in row.metrics]
    left = [_point(row, x, y) for row in left_rows(data) if x in row.metrics and y in row.metrics]
    values = np.array([(p.x, p.y) for p in members]).reshape(-1, 2)
    mask = front_mask(values, (metric_direction(data, x), metric_direction(data, y)))
    best = sorted({(p.x, p.y): p for p, on in zip(members, mask, strict=True) if on}.values(), key=lambda p: p.x)
    baselines = [(n, float(m[x]), float(m[y])) for n, m in baseline_points(data) if x in m and y in m]
    xs = [*known[x].tolist(), *(b[1] for b in baselines), *(p.x for p in members)]
    limits = _limits(data, y, good, members + left, baselines)
    stopped = known[known["state"] == "PRUNED"]
    above = _plot_dominated(ax, (good, rest, stopped), x, y, limits)
    _staircase(ax, best, x, y, data, limits, max(xs, default=1.0))
    label = "on the front of all objectives" if len(data.objectives) > 2 else "front"
    _members(ax, members, label)
    _left(ax, left)
    if baselines:
        ax.plot(
            [b[1] for b in baselines],
            [b[2] for b in baselines],
            "D",
            ms=6.5,
            color=BASELINE_COLOR,
            mec="white",
            mew=0.8,
            label="baseline",
            zorder=6,
        )
    scale_axis(ax, "x", x, xs, log=x in COST_COLUMNS)
    scale_axis(ax, "y", y, [v for v in limits if v > 0] if y in COST_COLUMNS else limits, log=y in COST_COLUMNS)
    ax.set_ylim(*_padded(limits, y in COST_COLUMNS and ax.get_yscale() == "log"))
    below = f"{len(members)} on the front"
    if len(data.objectives) > 2:
        below += f" of all {len(data.objectives)} objectives, {len(best)} of them on that of this pair"
    below += ", fresh seeds (mean ± std)" if any(p.std is not None for p in members) else ""
    if above:
        below += f"; {above} far from it are outside the axes (▲▼)"
    heading(ax, f"{metric_title(y)} against {metric_title(x)}", below)
    legend_below(figure, ax)
    named = [(b[1], b[2], b[0], BASELINE_COLOR) for b in baselines if limits[0] <= b[2] <= limits[1]]
    named += [(p.x, p.y, p.label, FRONT_COLOR) for p in best if p.label]
    place_labels(ax, named, [(p.x, p.y) for p in members])
    return figure


@dataclass(frozen=True)
class _Point:
    """A row of the front in a picture.

    Attributes:
        x: by which it is on the front, likewise `y`.
        label: number of the trial; empty for a baseline, which has its own marker and name.
        std: of y over fresh seeds; None before these.
        chosen: y as the search saw it; None for a baseline.
    """

    x: float
    y: float
    label: str
    std: float | None = None
    chosen: float | None = None


def _point(row: FrontRow, x: str, y: str) -> _Point:
    std = row.validation.std.get(y, 0.0) if row.validation is not None and y in row.validation.mean else None
    chosen = None if row.baseline else row.search.get(y)
    return _Point(row.metrics[x], row.metrics[y], "" if row.baseline else str(row.trial), std, chosen)


def _limits(
    data: StudyData,
    y: str,
    good: pd.DataFrame,
    shown: Sequence[_Point],
    baselines: Sequence[tuple[str, float, float]],
) -> list[float]:
    """Lowest and highest y of the axis: front, baselines and the better half of the trials, as far as readable."""
    inside = [v for p in shown for v in (p.y - (p.std or 0.0), p.y + (p.std or 0.0))] + [b[2] for b in baselines]
    inside = inside or good[y].tolist()
    values = good[y].to_numpy(dtype=float)
    if y in COST_COLUMNS or not len(values):
        everything = [*inside, *data.trials[y].dropna().tolist()]
        return [min(everything), max(everything)] if everything else [0.0, 1.0]
    span = (max(inside) - min(inside)) or float(np.ptp(values)) or abs(max(inside)) or 1.0
    low, high = min(inside), max(inside)
    if metric_direction(data, y) == "min":
        high = max(high, min(float(values.max()), max(high + 0.6 * span, float(np.median(values)))))
    else:
        low = min(low, max(float(values.min()), min(low - 0.6 * span, float(np.median(values)))))
    return [low, high]


def _padded(limits: Sequence[float], log: bool) -> tuple[float, float]:
    low, high = limits
    if log and low > 0:
        factor = (high / low) ** 0.06 or 1.1
        return low / max(factor, 1.02), high * max(factor, 1.02)
    pad = 0.07 * ((high - low) or abs(high) or 1.0)
    return low - pad, high + pad


def _plot_dominated(ax: Axes, groups: tuple[pd.DataFrame, ...], x: str, y: str, limits: Sequence[float]) -> int:
    """Draw what is not on the front; returns how many points lie beyond the limits and stand on the edge."""
    names = ("dominated", "infeasible", "pruned (last value)")
    styles = (("o", DOMINATED_COLOR, 0.55), ("s", DOMINATED_COLOR, 0.4), ("x", PRUNED_COLOR, 0.7))
    beyond = 0
    for rows, name, (marker, color, alpha) in zip(groups, names, styles, strict=True):
        if rows.empty:
            continue
        beyond += int(((rows[y] < limits[0]) | (rows[y] > limits[1])).sum())
        drawn = thin(rows)
        values = drawn[y].to_numpy(dtype=float)
        visible = (values >= limits[0]) & (values <= limits[1])
        label = name if len(drawn) == len(rows) else f"{name} (1 in {-(-len(rows) // MAX_DOMINATED_POINTS)})"
        ax.plot(
            drawn[x][visible],
            values[visible],
            marker,
            ms=4.5,
            color=color,
            alpha=alpha,
            mew=1.1 if marker == "x" else 0,
            label=label,
            zorder=2,
        )
        for out, edge, caret in ((values > limits[1], limits[1], "^"), (values < limits[0], limits[0], "v")):
            ax.plot(drawn[x][out], np.full(int(out.sum()), edge), caret, ms=4, color=color, alpha=alpha, zorder=2)
    return beyond


def _staircase(
    ax: Axes, best: Sequence[_Point], x: str, y: str, data: StudyData, limits: Sequence[float], right: float
) -> None:
    """The attainment curve of the front: horizontal until the next member."""
    if not best:
        return
    xs, ys = [p.x for p in best], [p.y for p in best]
    if metric_direction(data, x) == "min":
        worst = limits[1] if metric_direction(data, y) == "min" else limits[0]
        ax.step(
            [xs[0], *xs, max(right, xs[-1])],
            [worst, *ys, ys[-1]],
            where="post",
            color=FRONT_COLOR,
            lw=1.4,
            alpha=0.8,
            zorder=3,
        )
    else:
        ax.step(xs, ys, where="pre", color=FRONT_COLOR, lw=1.4, alpha=0.8, zorder=3)


def _members(ax: Axes, members: Sequence[_Point], label: str) -> None:
    """The front; where there are fresh seeds with deviations, and a thin line to what the search saw."""
    own = [p for p in members if p.label]
    ax.plot(
        [p.x for p in own],
        [p.y for p in own],
        "o",
        ms=6,
        color=FRONT_COLOR,
        mec="white",
        mew=0.8,
        label=label,
        zorder=5,
    )
    fresh = [p for p in members if p.std is not None]
    for p in fresh:
        if p.chosen is not None:
            ax.plot([p.x, p.x], [p.chosen, p.y], color=FRESH_SEEDS_COLOR, lw=0.8, alpha=0.5, zorder=4)
    if fresh:
        ax.errorbar(
            [p.x for p in fresh],
            [p.y for p in fresh],
            yerr=[p.std or 0.0 for p in fresh],
            fmt="none",
            ecolor=FRESH_SEEDS_COLOR,
            elinewidth=1.2,
            capsize=2.5,
            label="standard deviation over fresh seeds",
            zorder=4,
        )


def _left(ax: Axes, left: Sequence[_Point]) -> None:
    if left:
        label = "left the front with fresh seeds"
        style: dict[str, Any] = {"ms": 5, "mfc": "white", "mec": FRONT_COLOR, "mew": 1.1, "label": label, "zorder": 4}
        ax.plot([p.x for p in left], [p.y for p in left], "o", **style)
