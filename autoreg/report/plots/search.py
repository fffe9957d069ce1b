"""Pictures of the search itself: hypervolume, what it cost, how good the predictor was."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from autoreg.report.data.front import title
from autoreg.report.data.pareto import Trace, normalizer_of, random_trace, search_trace
from autoreg.report.plots.style import (
    AGAIN,
    BASELINE,
    FAINT,
    FRONT,
    MUTED,
    SERIES,
    heading,
    legend_below,
    new_axes,
    new_figure,
)

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from autoreg.report.data.load import StudyData

LEAST_PREDICTIONS = 5


def plot_hypervolume(data: StudyData) -> Figure | str:
    """Hypervolume over ended trials and over epochs paid, beside random search where it was run."""
    normalizer = normalizer_of(data)
    if normalizer is None or data.complete.empty:
        return "Hypervolume: no trial is complete yet."
    search, other = search_trace(data, normalizer), random_trace(data, normalizer)
    arms = [("search", FRONT, "-", search)] + ([("random search", BASELINE, "--", other)] if other else [])
    with_epochs = all(trace.epochs is not None for _, _, _, trace in arms)
    figure = new_figure(9.0 if with_epochs else 6.0, 3.7)
    left = new_axes(figure, 1, 2 if with_epochs else 1, 1)
    for label, color, line, trace in arms:
        left.step(
            np.arange(1, len(trace.hypervolume) + 1),
            trace.hypervolume,
            line,
            where="post",
            color=color,
            lw=1.8,
            label=label,
        )
    left.set_xlabel("ended trials")
    left.set_ylabel("hypervolume")
    heading(left, "Hypervolume over trials", f"share of the scale fixed at the start; now {search.hypervolume[-1]:.3f}")
    if with_epochs:
        longest = max(float(t.epochs[-1]) for _, _, _, t in arms if t.epochs is not None)
        right = new_axes(figure, 1, 2, 2)
        right.sharey(left)
        for label, color, line, trace in arms:
            assert trace.epochs is not None
            right.step(trace.epochs, trace.hypervolume, line, where="post", color=color, lw=1.8, label=label)
        right.set_xlim(-0.02 * longest, 1.02 * longest)
        right.set_xlabel("epochs paid")
        heading(right, "Hypervolume over epochs paid", "epochs taken from shared phases are free")
    _tight_from_zero(left, arms)
    if other:
        legend_below(figure, left)
    return figure


def _tight_from_zero(ax: Axes, arms: list[tuple[str, str, str, Trace]]) -> None:
    top = max(float(trace.hypervolume.max()) for _, _, _, trace in arms)
    ax.set_ylim(0, top * 1.08 if top > 0 else 1)


def plot_cost(data: StudyData) -> Figure | str:
    """What the search cost: epochs asked for and paid, and trial-seconds by who proposed the trial."""
    rows = data.ended
    seconds = data.spent("seconds").fillna(0.0).iloc[data.state.ended_numbers].set_axis(rows.index)
    asked, paid = (
        data.spent(k).fillna(0.0).iloc[data.state.ended_numbers].cumsum() for k in ("epochs_requested", "epochs_run")
    )
    phases = _phase_seconds(data)
    panels = [p for p, there in (("epochs", asked.any()), ("seconds", seconds.any()), ("phases", phases)) if there]
    if not panels:
        return "Search cost: the trials recorded neither epochs nor seconds."
    figure = new_figure((6.0, 9.0, 12.0)[len(panels) - 1], 3.7)
    for i, panel in enumerate(panels, start=1):
        ax = new_axes(figure, 1, len(panels), i)
        if panel == "epochs":
            _epochs(ax, asked.to_numpy(dtype=float), paid.to_numpy(dtype=float))
        elif panel == "seconds":
            _seconds(ax, rows, seconds)
        else:
            _phases(ax, phases)
    return figure


def _phase_seconds(data: StudyData) -> dict[str, float]:
    """Seconds by phase, summed over all ended trials that recorded them."""
    total: dict[str, float] = {}
    for record in data.state.ended():
        for phase, seconds in record.info.phase_seconds.items():
            total[phase] = total.get(phase, 0.0) + seconds
    return {phase: seconds for phase, seconds in total.items() if seconds > 0}


def _phases(ax: Axes, phases: dict[str, float]) -> None:
    names = list(phases)[::-1]
    ax.barh(names, [phases[n] for n in names], color=AGAIN, height=0.65)
    ax.grid(False, axis="y")
    ax.set_xlabel("trial-seconds")
    heading(ax, "Trial-seconds by phase", "phases taken from the store cost nothing")


def _epochs(ax: Axes, asked: Any, paid: Any) -> None:
    x = np.arange(1, len(asked) + 1)
    ax.step(x, asked, where="post", color=FAINT, lw=1.8, label="asked for")
    ax.step(x, paid, where="post", color=FRONT, lw=1.8, label="paid")
    ax.fill_between(x, paid, asked, step="post", color=FAINT, alpha=0.2, lw=0)
    ax.set_xlabel("ended trials")
    ax.set_ylabel("epochs, cumulated")
    ax.set_ylim(bottom=0)
    share = 1 - paid[-1] / asked[-1] if asked[-1] else 0.0
    heading(ax, "Epochs", f"{asked[-1]:,.0f} asked for, {paid[-1]:,.0f} paid: {share:.0%} saved")
    ax.legend(fontsize=8.5, frameon=False, loc="upper left")


def _seconds(ax: Axes, rows: pd.DataFrame, seconds: pd.Series[float]) -> None:
    table = seconds.groupby([rows["source"].replace("", "unknown"), rows["state"]]).sum().unstack(fill_value=0)
    table = table.loc[table.sum(axis=1).sort_values().index]
    start = np.zeros(len(table))
    colors = {"COMPLETE": FRONT, "PRUNED": FAINT, "FAIL": SERIES[4]}
    for state, word in (("COMPLETE", "complete"), ("PRUNED", "stopped"), ("FAIL", "failed")):
        if state in table.columns:
            values = table[state].to_numpy(dtype=float)
            ax.barh(table.index.tolist(), values, left=start, color=colors[state], label=word, height=0.65)
            start = start + values
    ax.grid(False, axis="y")
    ax.set_xlabel("trial-seconds")
    ax.set_xlim(right=float(start.max()) * 1.05 or 1.0)
    heading(ax, "Trial-seconds by proposer", f"{float(seconds.sum()):,.0f} s in {len(rows)} trials")
    ax.legend(fontsize=8.5, frameon=False, loc="lower right")


def predictor_scores(data: StudyData) -> list[dict[str, Any]]:
    """For each predicted metric: how many predictions met an observed value, rank correlation, coverage of the bounds.

    `tau` is Kendall's, between what was foretold and what came; `coverage` the share of observed values within
    the foretold bounds (None without bounds); `trusted` how many predictions the engine acted on, None if not recorded.
    """
    from scipy.stats import kendalltau

    scores = []
    for metric, rows in data.predictions.dropna(subset=["observed"]).groupby("metric", sort=False):
        bounded = rows.dropna(subset=["lower", "upper"])
        inside = (bounded["observed"] >= bounded["lower"]) & (bounded["observed"] <= bounded["upper"])
        varied = len(rows) >= 2 and rows["mean"].nunique() > 1 and rows["observed"].nunique() > 1
        known = rows["trusted"].dropna()
        scores.append(
            {
                "metric": str(metric),
                "count": len(rows),
                "tau": float(kendalltau(rows["mean"], rows["observed"]).statistic) if varied else None,
                "coverage": float(inside.mean()) if len(bounded) else None,
                "trusted": int(known.astype(bool).sum()) if len(known) else None,
            }
        )
    return scores


def score_sentence(score: dict[str, Any]) -> str:
    """One line about `predictor_scores`."""
    parts = [f"{score['count']} predictions"]
    if score["tau"] is not None:
        parts.append(f"Kendall tau {score['tau']:.2f}")
    if score["coverage"] is not None:
        parts.append(f"{score['coverage']:.0%} within the bounds")
    if score["trusted"] is not None:
        parts.append(f"{score['trusted']} trusted" if score["trusted"] else "none trusted")
    return ", ".join(parts)


def plot_predictor(data: StudyData) -> Figure | str:
    """What was foretold of each trial before it ran, against what came of it."""
    scores = [s for s in predictor_scores(data) if s["count"] >= LEAST_PREDICTIONS]
    if not scores:
        count = len(data.predictions.dropna(subset=["observed"]))
        return f"Predictor: {LEAST_PREDICTIONS} predictions that met an observed value are needed, there are {count}."
    figure = new_figure(4.9 * len(scores), 4.6)
    for i, score in enumerate(scores, start=1):
        rows = data.predictions.dropna(subset=["observed"])
        rows = rows[rows["metric"] == score["metric"]]
        _foretold(new_axes(figure, 1, len(scores), i), rows, score)
    return figure


def _foretold(ax: Axes, rows: pd.DataFrame, score: dict[str, Any]) -> None:
    trusted = rows["trusted"].map(lambda t: t is True).to_numpy(dtype=bool)
    for mask, color, label in ((~trusted, FAINT, "not trusted"), (trusted, AGAIN, "trusted")):
        part = rows[mask]
        if part.empty:
            continue
        if part[["lower", "upper"]].notna().all(axis=None):
            spread = np.clip([part["mean"] - part["lower"], part["upper"] - part["mean"]], 0, None)
            ax.errorbar(
                part["observed"], part["mean"], yerr=spread, fmt="none", ecolor=color, elinewidth=0.8, alpha=0.5
            )
        ax.plot(part["observed"], part["mean"], "o", ms=5, color=color, mec="white", mew=0.6, label=label)
    both = [*rows["observed"], *rows["mean"]]
    low, high = min(both), max(both)
    pad = 0.06 * ((high - low) or abs(high) or 1.0)
    ax.plot([low - pad, high + pad], [low - pad, high + pad], color=MUTED, lw=1, ls=":", label="perfect")
    ax.set_xlim(low - pad, high + pad)
    ax.set_ylim(low - 2 * pad, high + 2 * pad)
    ax.set_xlabel(f"{title(score['metric'])}, observed")
    ax.set_ylabel(f"{title(score['metric'])}, foretold")
    heading(ax, "Predictor", score_sentence(score))
    ax.legend(fontsize=8.5, frameon=False, loc="upper left")
