"""Hypervolume of a loaded study over its trials, on top of `autoreg.engine.pareto.front`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from autoreg.engine.pareto.front import Direction, Floats, Normalizer, hypervolume_history, minimized, nondominated
from autoreg.errors import InputError
from autoreg.report.data.trial_table import COST_COLUMNS
from autoreg.report.data.trial_values import costs_of

if TYPE_CHECKING:
    from autoreg.engine.log.records import StudyState
    from autoreg.report.data.load import StudyData


def front_mask(values: Floats, directions: Sequence[str]) -> NDArray[np.bool_]:
    """Which rows of `values` [n, k] no other row dominates; `directions` are `min` or `max`, one a column."""
    return nondominated(minimized(values, cast("Sequence[Direction]", directions)))


@dataclass(frozen=True)
class HypervolumeCurve:
    """Hypervolume after each ended trial.

    Attributes:
        hypervolume: [n], in [0, 1], never falling.
        epochs: cumulated epochs run [n], or None where they are not known.
    """

    hypervolume: Floats
    epochs: Floats | None


def normalizer_of(data: StudyData) -> Normalizer | None:
    """The scale on which hypervolume is taken.

    The one that the log or study.json fixed; else the dense cost and the chance level; else the spread of the complete
    trials. None without any.
    """
    if data.state.normalizer is not None:
        return data.state.normalizer
    if data.config.normalizer:
        return Normalizer.from_dict(data.config.normalizer)
    objectives = cast("dict[str, Direction]", data.objectives)
    if len(data.quality) == 1 and data.config.chance is not None:
        try:
            return Normalizer.from_dense(objectives, data.dense, data.quality[0], data.config.chance)
        except InputError:
            pass  # no dense cost on record: the spread is used
    rows = data.complete
    if rows.empty:
        return None
    values = rows[list(objectives)].to_numpy(dtype=float)
    return Normalizer.from_values(objectives, values, [o for o in objectives if o in COST_COLUMNS])


def search_curve(data: StudyData, normalizer: Normalizer) -> HypervolumeCurve:
    """Hypervolume of the search itself, over trials in the order in which they ended."""
    rows = data.ended
    first = rows["reevaluation_of"].isna()
    counts = ((rows["state"] == "COMPLETE") & rows["feasible"] & first).to_numpy(dtype=bool)
    values = rows[list(data.objectives)].to_numpy(dtype=float)
    paid = np.asarray(data.effort("epochs_run"), dtype=np.float64)[data.state.ended_numbers]
    return _curve(values, counts, paid, normalizer)


def random_curve(data: StudyData, normalizer: Normalizer) -> HypervolumeCurve | None:
    """Hypervolume of random search, None where it was not run."""
    if data.random_state is not None and data.random_state.ended_numbers:
        return state_curve(data.random_state, data.objectives, normalizer)
    history = data.final.random.history if data.final.random is not None else ()
    return HypervolumeCurve(np.array(history, dtype=float), None) if history else None


def state_curve(state: StudyState, objectives: Mapping[str, str], normalizer: Normalizer) -> HypervolumeCurve:
    """Hypervolume over the trials of a replayed log."""
    ended = state.ended()
    found = [costs_of(r) for r in ended]
    values = np.array([[row.get(n, math.nan) for n in objectives] for row in found])
    complete = [r.state == "COMPLETE" and r.feasible is not False and r.reevaluation_of is None for r in ended]
    counts = np.array(complete, dtype=bool)
    return _curve(values, counts, np.array([r.epochs_run for r in ended]), normalizer)


def _curve(values: Floats, counts: NDArray[np.bool_], paid: Floats, normalizer: Normalizer) -> HypervolumeCurve:
    usable = counts & np.isfinite(values).all(axis=1)
    known = np.nan_to_num(paid, nan=0.0)
    return HypervolumeCurve(hypervolume_history(values, normalizer, usable), np.cumsum(known) if known.any() else None)
