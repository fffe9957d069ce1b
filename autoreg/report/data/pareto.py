"""Fronts and hypervolume of a loaded study, on top of `autoreg.engine.pareto.front`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from autoreg.engine.pareto.front import Direction, Normalizer, hypervolume_history, minimized, nondominated
from autoreg.errors import InputError
from autoreg.report.data.table import COSTS, numbers

if TYPE_CHECKING:
    from autoreg.engine.log.records import StudyState
    from autoreg.report.data.load import StudyData

Array = NDArray[np.float64]


def front_mask(values: Array, directions: Sequence[str]) -> NDArray[np.bool_]:
    """Which rows of `values` [n, k] no other row dominates; `directions` are `min` or `max`, one a column."""
    return nondominated(minimized(values, cast("Sequence[Direction]", directions)))


@dataclass(frozen=True)
class Trace:
    """Hypervolume after each ended trial.

    Attributes:
        hypervolume: [n], in [0, 1], never falling.
        epochs: cumulated epochs paid [n], or None where they are not known.
    """

    hypervolume: Array
    epochs: Array | None


def normalizer_of(data: StudyData) -> Normalizer | None:
    """The scale on which hypervolume is taken.

    The one that the study fixed; else the dense cost and the chance level; else the spread of what was seen.
    None when nothing was seen.
    """
    fixed = data.study.get("normalizer")
    if isinstance(fixed, Mapping) and fixed:
        return Normalizer.from_dict(fixed)
    if data.state.normalizer is not None:
        return data.state.normalizer
    objectives = cast("dict[str, Direction]", data.objectives)
    chance = data.study.get("chance")
    if len(data.quality) == 1 and isinstance(chance, int | float):
        try:
            return Normalizer.from_dense(objectives, data.dense, data.quality[0], float(chance))
        except InputError:
            pass  # no dense cost on record: the spread must do
    rows = data.complete
    if rows.empty:
        return None
    values = rows[list(objectives)].to_numpy(dtype=float)
    return Normalizer.from_values(objectives, values, [o for o in objectives if o in COSTS])


def search_trace(data: StudyData, normalizer: Normalizer) -> Trace:
    """Hypervolume of the search itself, trials in the order in which they ended."""
    rows = data.ended
    first = rows["reevaluation_of"].isna()
    counts = ((rows["state"] == "COMPLETE") & rows["feasible"] & first).to_numpy(dtype=bool)
    values = rows[list(data.objectives)].to_numpy(dtype=float)
    paid = np.asarray(data.spent("epochs_run"), dtype=np.float64)[data.state.ended_numbers]
    return _trace(values, counts, paid, normalizer)


def random_trace(data: StudyData, normalizer: Normalizer) -> Trace | None:
    """The same of the random-search arm, where it was run."""
    if data.random is not None and data.random.ended_numbers:
        return state_trace(data.random, data.objectives, normalizer)
    history = (data.final.get("random") or {}).get("history")
    return Trace(np.array(history, dtype=float), None) if history else None


def state_trace(state: StudyState, objectives: Mapping[str, str], normalizer: Normalizer) -> Trace:
    """Hypervolume over the trials of a folded log."""
    ended = state.ended()
    found = [numbers(r.costs) | numbers(r.metrics) for r in ended]
    values = np.array([[row.get(n, math.nan) for n in objectives] for row in found])
    complete = [r.state == "COMPLETE" and r.feasible is not False and r.reevaluation_of is None for r in ended]
    counts = np.array(complete, dtype=bool)
    return _trace(values, counts, np.array([r.epochs_run for r in ended]), normalizer)


def _trace(values: Array, counts: NDArray[np.bool_], paid: Array, normalizer: Normalizer) -> Trace:
    usable = counts & np.isfinite(values).all(axis=1)
    known = np.nan_to_num(paid, nan=0.0)
    return Trace(hypervolume_history(values, normalizer, usable), np.cumsum(known) if known.any() else None)
