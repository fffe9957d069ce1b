"""Fronts and hypervolume of a loaded study, on top of `autoreg.search.front`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from autoreg.errors import InputError
from autoreg.search.front import Direction, Normalizer, hypervolume_history, minimized, nondominated

if TYPE_CHECKING:
    from autoreg.report.load import StudyData

Array = NDArray[np.float64]


def front_mask(values: Array, directions: Sequence[str]) -> NDArray[np.bool_]:
    """Which rows of `values` [n, k] no other row dominates; `directions` are `min` or `max`, one a column."""
    return nondominated(minimized(values, cast("Sequence[Direction]", directions)))


@dataclass(frozen=True)
class Trace:
    """Hypervolume after each finished trial.

    Attributes:
        hypervolume: [n], in [0, 1], never falling.
        epochs: cumulated epochs paid [n], or None where they are not known.
    """

    hypervolume: Array
    epochs: Array | None


def normalizer_of(data: StudyData) -> Normalizer | None:
    """The scale on which hypervolume is taken: the one fixed in study.json or in the log's start, else the dense
    cost and the chance level, else the spread of what was seen; None when nothing was seen.
    """
    from autoreg.report.load import COSTS

    fixed = data.study.get("normalizer")
    if isinstance(fixed, Mapping) and fixed:
        return Normalizer.from_dict(fixed)
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
    return Normalizer.from_values(objectives, rows[list(objectives)].to_numpy(dtype=float), [o for o in objectives if o in COSTS])


def search_trace(data: StudyData, normalizer: Normalizer) -> Trace:
    """Hypervolume of the search itself, trials in the order in which they ended."""
    by_number = data.trials.set_index("number")
    rows = by_number.loc[list(data.finished)]
    counts = ((rows["state"] == "COMPLETE") & rows["feasible"]).to_numpy(dtype=bool)
    return _trace(rows[list(data.objectives)].to_numpy(dtype=float), counts, rows["epochs_paid"].to_numpy(dtype=float), normalizer)


def random_trace(data: StudyData, normalizer: Normalizer) -> Trace | None:
    """The same of the random-search arm, where final.json has one.

    `random` holds `trials`: a list of `{"state", "metrics": {...}, "epochs_paid"}` in the order in which they ended.
    """
    trials: Any = (data.final.get("random") or {}).get("trials")
    if not isinstance(trials, list) or not trials:
        return None
    names = list(data.objectives)
    values = np.array([[_float((t.get("metrics") or {}).get(n)) for n in names] for t in trials])
    counts = np.array([t.get("state", "COMPLETE") == "COMPLETE" and t.get("feasible", True) for t in trials])
    paid = np.array([_float(t.get("epochs_paid")) for t in trials])
    return _trace(values, counts, paid, normalizer)


def _float(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else float("nan")


def _trace(values: Array, counts: NDArray[np.bool_], paid: Array, normalizer: Normalizer) -> Trace:
    usable = counts & np.isfinite(values).all(axis=1)
    known = np.nan_to_num(paid, nan=0.0)
    return Trace(hypervolume_history(values, normalizer, usable), np.cumsum(known) if known.any() else None)
