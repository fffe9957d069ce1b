"""Pictures of the search itself: hypervolume, epochs and seconds, predictions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from autoreg.report.data.hypervolume import HypervolumeCurve, normalizer_of, random_curve, search_curve
from autoreg.report.data.load import StudyData
from autoreg.report.data.predictor_scores import PredictorScore, predictor_scores
from autoreg.report.plots.style import (
    BASELINE_COLOR,
    DOMINATED_COLOR,
    FRONT_COLOR,
    MUTED_COLOR,
    SERIES_COLORS,
    heading,
    legend_below,
    new_axes,
    new_figure,
)
from autoreg.report.text.metrics import metric_title
from autoreg.report.text.predictor import score_phrase
from autoreg.report.text.trials import STATE_WORDS

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MIN_PREDICTIONS = 5


def plot_hypervolume(data: StudyData) -> Figure | str:
    """Hypervolume over ended trials and over epochs run, beside random search where it was run."""
    normalizer = normalizer_of(data)
    if normalizer is None or data.complete.empty:
        return "Hypervolume: no trial is complete yet."
    search, random = search_curve(data, normalizer), random_curve(data, normalizer)
    arms = [("search", FRONT_COLOR, "-", search)] + (
        [("random search", BASELINE_COLOR, "--", random)] if random else []
    )
    with_epochs = all(curve.epochs is not None for _, _, _, curve in arms)
    figure = new_figure(9.0 if with_epochs else 6.0, 3.7)
    left = new_axes(figure, 1, 2 if with_epochs else 1, 1)
    for label, color, line, curve in arms:
        left.step(
            np.arange(1, len(curve.hypervolume) + 1),
            curve.hypervolume,
            line,
            where="post",
            color=color,
            lw=1.8,
            label=label,
        )
    left.set_xlabel("ended trials")
    left.set_ylabel("hypervolume")
    heading(left, "Hypervolume over trials", f"normalized; {search.hypervolume[-1]:.3f} at the end")
    if with_epochs:
        longest = max(float(t.epochs[-1]) for _, _, _, t in arms if t.epochs is not None)
        right = new_axes(figure, 1, 2, 2)
        right.sharey(left)
        for label, color, line, curve in arms:
            assert curve.epochs is not None
            right.step(curve.epochs, curve.hypervolume, line, where="post", color=color, lw=1.8, label=label)
        right.set_xlim(-0.02 * longest, 1.02 * longest)
        right.set_xlabel("epochs run")
        heading(right, "Hypervolume over epochs run", "reused phases add no epochs")
    _tight_from_zero(left, arms)
    if random is not None:
        legend_below(figure, left)
    return figure


def _tight_from_zero(ax: Axes, arms: list[tuple[str, str, str, HypervolumeCurve]]) -> None:
    top = max(float(curve.hypervolume.max()) for _, _, _, curve in arms)
    ax.set_ylim(0, top * 1.08 if top > 0 else 1)


def plot_cost(data: StudyData) -> Figure | str:
    """The cost of the search: epochs requested and run, and trial-seconds by source and by phase."""
    rows = data.ended
    seconds = data.effort("seconds").fillna(0.0).iloc[data.state.ended_numbers].set_axis(rows.index)
    requested, run = (
        data.effort(k).fillna(0.0).iloc[data.state.ended_numbers].cumsum() for k in ("epochs_requested", "epochs_run")
    )
    phases = _phase_seconds(data)
    panels = [p for p, there in (("epochs", requested.any()), ("seconds", seconds.any()), ("phases", phases)) if there]
    if not panels:
        return "Search cost: the trials recorded neither epochs nor seconds."
    figure = new_figure((6.0, 9.0, 12.0)[len(panels) - 1], 3.7)
    for i, panel in enumerate(panels, start=1):
        ax = new_axes(figure, 1, len(panels), i)
        if panel == "epochs":
            _epochs(ax, requested.to_numpy(dtype=float), run.to_numpy(dtype=float))
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
    ax.barh(names, [phases[n] for n in names], color=SERIES_COLORS[2], height=0.65)
    ax.grid(False, axis="y")
    ax.set_xlabel("trial-seconds")
    heading(ax, "Trial-seconds by phase", "cached phases add no time")


def _epochs(ax: Axes, requested: Any, run: Any) -> None:
    x = np.arange(1, len(requested) + 1)
    ax.step(x, requested, where="post", color=DOMINATED_COLOR, lw=1.8, label="requested")
    ax.step(x, run, where="post", color=FRONT_COLOR, lw=1.8, label="run")
    ax.fill_between(x, run, requested, step="post", color=DOMINATED_COLOR, alpha=0.2, lw=0)
    ax.set_xlabel("ended trials")
    ax.set_ylabel("cumulated epochs")
    ax.set_ylim(bottom=0)
    share = 1 - run[-1] / requested[-1] if requested[-1] else 0.0
    heading(ax, "Epochs", f"{requested[-1]:,.0f} requested, {run[-1]:,.0f} run: {share:.0%} reused")
    ax.legend(fontsize=8.5, frameon=False, loc="upper left")


def _seconds(ax: Axes, rows: pd.DataFrame, seconds: pd.Series[float]) -> None:
    table = seconds.groupby([rows["source"].replace("", "unknown"), rows["state"]]).sum().unstack(fill_value=0)
    table = table.loc[table.sum(axis=1).sort_values().index]
    start = np.zeros(len(table))
    colors = {"COMPLETE": FRONT_COLOR, "PRUNED": DOMINATED_COLOR, "FAIL": SERIES_COLORS[4]}
    for state, word in STATE_WORDS.items():
        if state in table.columns:
            values = table[state].to_numpy(dtype=float)
            ax.barh(table.index.tolist(), values, left=start, color=colors[state], label=word, height=0.65)
            start = start + values
    ax.grid(False, axis="y")
    ax.set_xlabel("trial-seconds")
    ax.set_xlim(right=float(start.max()) * 1.05 or 1.0)
    heading(ax, "Trial-seconds by source", f"{float(seconds.sum()):,.0f} s in {len(rows)} trials")
    ax.legend(fontsize=8.5, frameon=False, loc="lower right")


def plot_predictor(data: StudyData) -> Figure | str:
    """Predictions made before a trial ran against what was observed of it."""
    scores = [s for s in predictor_scores(data) if s.count >= MIN_PREDICTIONS]
    if not scores:
        count = len(data.predictions.dropna(subset=["observed"]))
        return f"Predictions: {MIN_PREDICTIONS} with an observed value are needed, there are {count}."
    figure = new_figure(4.9 * len(scores), 4.6)
    for i, score in enumerate(scores, start=1):
        rows = data.predictions.dropna(subset=["observed"])
        rows = rows[rows["metric"] == score.metric]
        _predicted_against_observed(new_axes(figure, 1, len(scores), i), rows, score)
    return figure


def _predicted_against_observed(ax: Axes, rows: pd.DataFrame, score: PredictorScore) -> None:
    trusted = rows["trusted"].to_numpy(dtype=bool)
    for mask, color, label in ((~trusted, DOMINATED_COLOR, "not trusted"), (trusted, SERIES_COLORS[2], "trusted")):
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
    ax.plot([low - pad, high + pad], [low - pad, high + pad], color=MUTED_COLOR, lw=1, ls=":", label="perfect")
    ax.set_xlim(low - pad, high + pad)
    ax.set_ylim(low - 2 * pad, high + 2 * pad)
    ax.set_xlabel(f"{metric_title(score.metric)}, observed")
    ax.set_ylabel(f"{metric_title(score.metric)}, predicted")
    heading(ax, "Predictions before a trial", score_phrase(score))
    ax.legend(fontsize=8.5, frameon=False, loc="upper left")
