"""Pictures of a comparison: the tight measure against work, table by table, and how soon targets are reached."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from autoreg.report.plots import style
from benchmarks.tables.arms import ARMS
from benchmarks.tables.measures import Judge, ecdf, half_width, spent_to
from benchmarks.tables.paying import whole
from benchmarks.tables.table import Floats

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Played = tuple[str, Mapping[str, Any], Judge]
"""Name of the arm as it is shown, the run, and its judge."""
TARGETS = (0.25, 0.5, 0.75)
LINES = ("-", "--", ":")
UNITS = {"trials": "trials", "epochs": "epochs paid, in those of whole trials", "seconds": "seconds of table and arm"}


def draw(runs: Sequence[Played], out: Path, name: str) -> list[Path]:
    """Write `out`/`name`-TABLE.png for each table and `out`/`name`-ecdf.png; return their paths."""
    looks = _looks(runs)
    tables = list(dict.fromkeys(row["table"] for _, row, _ in runs))
    files = [_curves([r for r in runs if r[1]["table"] == t], looks, out / f"{name}-{t}.png", t) for t in tables]
    return [*files, _targets(runs, looks, out / f"{name}-ecdf.png")]


def curve(run: Played, unit: str) -> tuple[Floats, Floats]:
    """What was spent after each trial [n], and the tight measure then [n]."""
    _, row, judge = run
    tight, count = judge.found(row["rows"], row["starts"], row.get("steps")), len(row["rows"])
    if unit == "trials":
        return np.arange(1.0, count + 1), tight
    if unit == "epochs":
        return np.cumsum(row.get("epochs_paid") or [1.0] * count) / whole(judge.table).epochs, tight
    return np.cumsum(np.add(row.get("trained") or [0.0] * count, row["seconds"])), tight


def band(runs: Sequence[Played], unit: str, grid: Floats) -> tuple[Floats, Floats]:
    """Mean over runs of the measure when so much was spent [k], half its 95 % interval; NaN once a run has ended."""
    values = np.full((len(runs), len(grid)), np.nan)
    for k, run in enumerate(runs):
        paid, tight = curve(run, unit)
        at = np.searchsorted(paid, grid * (1 + 1e-9), side="right")
        values[k] = np.where(at > 0, tight[np.maximum(at - 1, 0)], 0.0)
        values[k, grid > paid[-1] * (1 + 1e-9)] = np.nan
    return values.mean(axis=0), np.array([half_width(column) for column in values.T])


def _looks(runs: Sequence[Played]) -> dict[str, dict[str, Any]]:
    """A colour and a line for each arm, ours first; those of an arm are the same on all pictures of a page."""
    order = list(ARMS)
    arms = sorted({arm: str(row["arm"]) for arm, row, _ in runs}.items(), key=lambda i: order.index(i[1]))
    arms.sort(key=lambda item: not item[1].startswith("ours"))
    return {
        arm: {
            "color": style.SERIES_COLORS[k % len(style.SERIES_COLORS)],
            "linestyle": LINES[k // len(style.SERIES_COLORS) % len(LINES)],
            "linewidth": 2.2 if arm == "ours" else 1.3,
            "zorder": 4 if arm == "ours" else 3,
        }
        for k, (arm, _) in enumerate(arms)
    }


def _by_arm(runs: Sequence[Played]) -> dict[str, list[Played]]:
    found: dict[str, list[Played]] = defaultdict(list)
    for run in runs:
        found[run[0]].append(run)
    return found


def _curves(runs: Sequence[Played], looks: Mapping[str, Mapping[str, Any]], file: Path, table: str) -> Path:
    units = ["trials", "epochs", "seconds"] if any(row.get("epochs_paid") for _, row, _ in runs) else ["trials"]
    figure = style.new_figure(7.0 * len(units), 4.8)
    for place, unit in enumerate(units, start=1):
        ax = style.new_axes(figure, 1, len(units), place)
        first = min(float(curve(run, unit)[0][run[1]["starts"] - 1]) for run in runs)
        last = max(float(curve(run, unit)[0][-1]) for run in runs)
        grid = np.arange(np.ceil(first), last + 1) if unit == "trials" else np.linspace(first, last, 150)
        for arm, played in _by_arm(runs).items():
            mean, half = band(played, unit, grid)
            ax.plot(grid, mean, label=f"{arm} ({len(played)})" if place == 1 else None, **looks[arm])
            ax.fill_between(grid, mean - half, mean + half, color=looks[arm]["color"], alpha=0.1, linewidth=0)
        ax.set_xlabel(UNITS[unit])
        ax.set_ylabel("tight hypervolume")
        ax.set_ylim(-0.05, 1.02)
        style.heading(ax, table, "mean over seeds and its 95 % interval; 0: the common start, 1: the whole table")
        if place == 1:
            style.legend_below(figure, ax, 4 * len(units))
    return style.save(figure, file)


def _targets(runs: Sequence[Played], looks: Mapping[str, Mapping[str, Any]], file: Path) -> Path:
    with_epochs = [run for run in runs if run[1].get("epochs_paid")]
    parts = [("trials", list(runs))] + ([("epochs", with_epochs)] if with_epochs else [])
    figure = style.new_figure(4.6 * len(TARGETS), 4.4 * len(parts) + 0.6)
    for line, (unit, played) in enumerate(parts):
        ends = [(run[0], *curve(run, unit)) for run in played]
        last = max(float(paid[-1]) for _, paid, _ in ends)
        grid = np.arange(last + 1) if unit == "trials" else np.linspace(0.0, last, 200)
        for column, target in enumerate(TARGETS):
            ax = style.new_axes(figure, len(parts), len(TARGETS), line * len(TARGETS) + column + 1)
            for arm in dict.fromkeys(a for a, _, _ in ends):
                reached = [spent_to(tight, paid, target) for a, paid, tight in ends if a == arm]
                held = grid <= max(float(paid[-1]) for a, paid, _ in ends if a == arm)
                _step(ax, grid[held], ecdf(reached, grid[held]), arm, looks[arm])
            ax.set_ylim(0, 1)
            ax.set_xlabel(UNITS[unit])
            ax.set_ylabel("share of runs")
            style.heading(ax, f"To {target:.0%} of the tight measure", "over tables and seeds")
            if line == column == 0:
                style.legend_below(figure, ax, 6)
    return style.save(figure, file)


def _step(ax: Axes, grid: Floats, shares: Floats, arm: str, look: Mapping[str, Any]) -> None:
    ax.plot(grid, shares, label=arm, drawstyle="steps-post", **look)
