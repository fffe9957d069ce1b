"""Which trials no other dominates, and how much of the objective space they cover.

Values are arrays of shape [trials, objectives]. Functions that take no directions minimize every
objective; `minimized` brings values into that form.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from autoreg.errors import InputError

Direction = Literal["min", "max"]
Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

COST_FLOOR = 1e-3
"""Below this share of the dense cost a lower cost gains nothing: three decades are measured."""

BEYOND = 0.1
"""Costs count up to this much beyond the dense cost on the normalized scale (a factor of two): otherwise
the best network of full cost would cover nothing."""


def minimized(values: ArrayLike, directions: Sequence[str]) -> Floats:
    """Return values [n, m] with the objectives that are to be large negated."""
    signs = np.array([1.0 if d == "min" else -1.0 for d in directions])
    return np.asarray(np.asarray(values, dtype=float).reshape(-1, len(signs)) * signs)


def nondominated(values: ArrayLike) -> Mask:
    """Tell which of the points [n, m] no other point dominates; all of several equal points stay.

    A point dominates another if it is nowhere worse and somewhere better.
    """
    points = _points(values)
    if len(points) == 0:
        return np.zeros(0, dtype=bool)
    unique, back = np.unique(points, axis=0, return_inverse=True)
    if points.shape[1] == 1:
        return np.asarray(points[:, 0] == points[:, 0].min())
    import moocore

    return np.asarray(moocore.is_nondominated(unique, keep_weakly=True), dtype=bool)[back.reshape(-1)]


def ranks(values: ArrayLike) -> NDArray[np.int64]:
    """Non-dominated rank of every point: 0 for the front, 1 for the front of the rest, and so on.

    Reference: Deb et al., "A fast and elitist multiobjective genetic algorithm: NSGA-II", 2002, section III.A.
    """
    points = _points(values)
    out = np.full(len(points), -1, dtype=np.int64)
    level = 0
    while (left := np.flatnonzero(out < 0)).size:
        out[left[nondominated(points[left])]] = level
        level += 1
    return out


def hypervolume(values: ArrayLike, reference: ArrayLike) -> float:
    """Volume that the points [n, m] dominate below `reference` [m]; points beyond it count nothing."""
    points, corner = _points(values), np.asarray(reference, dtype=float)
    inside = points[np.all(points < corner, axis=1)] if len(points) else points
    if len(inside) == 0:
        return 0.0
    if inside.shape[1] == 1:
        return float(corner[0] - inside.min())
    import moocore

    return float(moocore.hypervolume(np.ascontiguousarray(inside), ref=corner))


def contributions(values: ArrayLike, reference: ArrayLike) -> Floats:
    """Hypervolume that is lost when a point is taken away; 0 for dominated points and for twins."""
    points, corner = _points(values), np.asarray(reference, dtype=float)
    out = np.zeros(len(points))
    if len(points) == 0:
        return out
    front = np.flatnonzero(nondominated(points) & np.all(points < corner, axis=1))
    whole = hypervolume(points[front], corner)
    for k in front:
        out[k] = max(whole - hypervolume(points[front[front != k]], corner), 0.0)
    return out


def improvements(candidates: ArrayLike, front: ArrayLike, reference: ArrayLike) -> Floats:
    """Hypervolume that each of the candidates [n, m] alone would add to a front [k, m]."""
    points, corner = _points(candidates), np.asarray(reference, dtype=float)
    base = np.asarray(front, dtype=float).reshape(-1, len(corner))
    base = base[nondominated(base)] if len(base) else base
    whole = hypervolume(base, corner)
    out = np.zeros(len(points))
    for k, point in enumerate(points):
        if np.all(point < corner) and not np.any(np.all(base <= point, axis=1)):
            out[k] = max(hypervolume(np.vstack([base, point]), corner) - whole, 0.0)
    return out


def order(values: ArrayLike, reference: ArrayLike | None = None) -> NDArray[np.int64]:
    """Indices from best to worst: by non-dominated rank, ties by hypervolume contribution.

    Contributions are taken within each rank, below `reference` or, without one, a tenth of the
    spread beyond the worst point. What is still equal keeps its place.
    """
    points = _points(values)
    if len(points) == 0:
        return np.zeros(0, dtype=np.int64)
    corner = _loose(points) if reference is None else np.asarray(reference, dtype=float)
    level = ranks(points)
    gain = np.zeros(len(points))
    for k in np.unique(level):
        members = np.flatnonzero(level == k)
        gain[members] = contributions(points[members], corner)
    return np.lexsort((-gain, level)).astype(np.int64)


def _loose(points: Floats) -> Floats:
    low, high = points.min(axis=0), points.max(axis=0)
    return np.asarray(high + 0.1 * np.where(high > low, high - low, 1.0))


def _points(values: ArrayLike) -> Floats:
    points = np.asarray(values, dtype=float)
    if points.ndim != 2:
        points = points.reshape(0, 1) if points.size == 0 else np.atleast_2d(points)
    if not np.all(np.isfinite(points)):
        raise InputError("points of a front must be finite numbers; a trial with another value has failed")
    return points


@dataclass(frozen=True)
class Axis:
    """How one objective is normalized: `ideal` becomes 0 and `reference` 1, on a log scale if `log`."""

    name: str
    direction: str
    ideal: float
    reference: float
    log: bool = False

    def __post_init__(self) -> None:
        if self.direction not in ("min", "max"):
            raise InputError(f"objective {self.name!r}: direction {self.direction!r} is not allowed; allowed: min, max")
        ok = self.ideal < self.reference if self.direction == "min" else self.ideal > self.reference
        if not (math.isfinite(self.ideal) and math.isfinite(self.reference) and ok):
            side = "below" if self.direction == "min" else "above"
            raise InputError(
                f"objective {self.name!r} ({self.direction}): the ideal {self.ideal:g} must lie {side} "
                f"the reference {self.reference:g}"
            )
        if self.log and min(self.ideal, self.reference) <= 0:
            raise InputError(
                f"objective {self.name!r}: a log scale needs positive bounds, not {self.ideal:g} and {self.reference:g}"
            )


@dataclass(frozen=True)
class Normalizer:
    """A fixed map from objectives to the unit cube, smaller is better; hypervolume is taken there.

    Fixed when a study starts, so that figures of different moments and runs compare. Values better
    than the ideal become 0, values worse than the reference lie above 1. Hypervolume is taken below
    `corner`, which is a little beyond the reference for costs, and is a share of all below it.
    """

    axes: tuple[Axis, ...]

    @classmethod
    def from_dense(
        cls,
        objectives: Mapping[str, str],
        dense: Mapping[str, float],
        quality: str,
        chance: float,
        *,
        best: float | None = None,
        floor: float = COST_FLOOR,
    ) -> Normalizer:
        """Costs in the logarithm between `floor` and 1 times the dense cost, quality from best to chance.

        Args:
            objectives: Direction of every objective.
            dense: Metrics of the dense recipe.
            quality: Name of the objective that is learned.
            chance: Its value at chance level.
            best: Its ideal value; 0 for a quality to minimize, 1 for one to maximize.
            floor: Share of the dense cost that is the ideal of a cost, in (0, 1).
        """
        axes = []
        for name, direction in objectives.items():
            if name == quality:
                ideal = best if best is not None else (0.0 if direction == "min" else 1.0)
                axes.append(Axis(name, direction, ideal, chance))
                continue
            value = dense.get(name)
            if value is None or not math.isfinite(value) or value <= 0:
                raise InputError(
                    f"objective {name!r}: the dense recipe has no positive {name} to measure against (found {value!r})"
                )
            axes.append(
                Axis(
                    name,
                    direction,
                    *((value * floor, value) if direction == "min" else (value / floor, value)),
                    log=True,
                )
            )
        return cls(tuple(axes))

    @classmethod
    def from_values(cls, objectives: Mapping[str, str], values: ArrayLike, logs: Iterable[str] = ()) -> Normalizer:
        """Fix the scale by trials: from a tenth of their spread beyond the best to a tenth beyond the worst.

        Args:
            objectives: Direction of every objective.
            values: Objectives of trials, [n >= 1, m].
            logs: Objectives that are costs; on a log scale where all values are positive.
        """
        points, wanted = _points(values), set(logs)
        axes = []
        for column, (name, direction) in zip(points.T, objectives.items(), strict=True):
            log = name in wanted and bool(np.all(column > 0))
            seen = np.log(column) if log else column
            low, high = float(seen.min()), float(seen.max())
            pad = 0.1 * (high - low) if high > low else max(abs(high), 1.0) * 0.1
            ends = [low - pad, high + pad]
            if not log and low >= 0:  # an error or a size is never negative
                ends[0] = max(ends[0], 0.0)
            ends = [math.exp(e) for e in ends] if log else ends
            ideal, reference = ends if direction == "min" else ends[::-1]
            axes.append(Axis(name, direction, ideal, reference, log))
        return cls(tuple(axes))

    @classmethod
    def from_dict(cls, data: Mapping[str, Mapping[str, Any]]) -> Normalizer:
        """Make a normalizer of what `to_dict` returned."""
        return cls(
            tuple(
                Axis(n, a["direction"], float(a["ideal"]), float(a["reference"]), bool(a["log"]))
                for n, a in data.items()
            )
        )

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """Return JSON data: per objective direction, ideal, reference and log."""
        return {
            a.name: {"direction": a.direction, "ideal": a.ideal, "reference": a.reference, "log": a.log}
            for a in self.axes
        }

    @property
    def names(self) -> tuple[str, ...]:
        """The objectives, in the order of the columns."""
        return tuple(a.name for a in self.axes)

    @property
    def corner(self) -> Floats:
        """The reference point [m]: 1 for a quality, 1.1 for a cost (an objective on a log scale)."""
        return np.array([1.0 + BEYOND * a.log for a in self.axes])

    def transform(self, values: ArrayLike) -> Floats:
        """Map objectives [n, m] to the unit cube, where smaller is better."""
        points = np.asarray(values, dtype=float).reshape(-1, len(self.axes))
        out = np.empty_like(points)
        for k, axis in enumerate(self.axes):
            ideal, reference, column = axis.ideal, axis.reference, points[:, k]
            if axis.log:
                tiny = min(ideal, reference) * 1e-9
                ideal, reference, column = math.log(ideal), math.log(reference), np.log(np.maximum(column, tiny))
            out[:, k] = (column - ideal) / (reference - ideal)
        return np.maximum(out, 0.0)

    def hypervolume(self, values: ArrayLike) -> float:
        """Share of the box below `corner`, in [0, 1], that objectives [n, m] dominate."""
        return hypervolume(self.transform(values), self.corner) / float(np.prod(self.corner))

    def contributions(self, values: ArrayLike) -> Floats:
        """Hypervolume that each of the objectives [n, m] alone brings."""
        return contributions(self.transform(values), self.corner) / float(np.prod(self.corner))


def hypervolume_history(values: ArrayLike, normalizer: Normalizer, counts: ArrayLike | None = None) -> Floats:
    """Hypervolume after each trial.

    Args:
        values: Objectives [n, m] in the order in which trials ended; rows that do not count may hold NaN.
        normalizer: The fixed scale.
        counts: Mask [n] of the trials that count (complete and feasible); all by default.

    Returns:
        Hypervolumes [n], never falling.
    """
    rows = np.asarray(values, dtype=float).reshape(-1, len(normalizer.axes))
    mask = np.ones(len(rows), dtype=bool) if counts is None else np.asarray(counts, dtype=bool)
    out, front, current = np.zeros(len(rows)), np.zeros((0, rows.shape[1])), 0.0
    corner, cube = normalizer.corner, normalizer.transform(rows)
    for k, (point, takes_part) in enumerate(zip(cube, mask, strict=True)):
        if takes_part and np.all(point < corner) and not np.any(np.all(front <= point, axis=1)):
            front = np.vstack([front[~np.all(point <= front, axis=1)], point])
            current = hypervolume(front, corner) / float(np.prod(corner))
        out[k] = current
    return out
