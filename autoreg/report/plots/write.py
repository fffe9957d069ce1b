"""All pictures of a study, as PNG files."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from autoreg.report.data.load import StudyData
from autoreg.report.data.predicted_latency import latency_predictions
from autoreg.report.plots.front import metric_pairs, plot_pair
from autoreg.report.plots.importance import plot_importance
from autoreg.report.plots.latency import plot_latency
from autoreg.report.plots.layers import layer_names, plot_layers
from autoreg.report.plots.search import plot_cost, plot_hypervolume, plot_predictor
from autoreg.report.plots.style import save

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    Draw = Callable[[StudyData], Figure | str]


@dataclass(frozen=True)
class Plots:
    """The pictures that were drawn, by name, and for each other one a sentence that says why there is none."""

    files: Mapping[str, Path]
    sentences: Mapping[str, str]


def write_plots(data: StudyData, folder: Path) -> Plots:
    """Draw what can be drawn of a study into `folder`.

    Names: `front_Y_X` for each pair of metrics, `hypervolume`, `cost`, `importance`, `predictor`, `latency` where
    trials have both a predicted and a measured one, and `layers` where they recorded their layers.
    Pictures of an earlier report that are not drawn this time are removed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    draws: dict[str, Draw] = {}
    if not data.complete.empty:
        for x, y in metric_pairs(data):
            draws[f"front_{_safe(y)}_{_safe(x)}"] = partial(plot_pair, x=x, y=y)
    draws |= {"hypervolume": plot_hypervolume, "cost": plot_cost, "importance": plot_importance}
    if not data.predictions.empty:
        draws["predictor"] = plot_predictor
    if latency_predictions(data):
        draws["latency"] = plot_latency
    if layer_names(data):
        draws["layers"] = plot_layers
    drawn = {name: draw(data) for name, draw in draws.items()}
    sentences = {name: found for name, found in drawn.items() if isinstance(found, str)}
    files = {n: save(found, folder / f"{n}.png") for n, found in drawn.items() if not isinstance(found, str)}
    for old in folder.glob("*.png"):
        if old not in files.values():
            old.unlink()
    return Plots(files, sentences)


def _safe(name: str) -> str:
    """A metric's name as part of a file name."""
    return re.sub(r"[^A-Za-z0-9.-]+", "-", name).strip(".-") or "metric"
