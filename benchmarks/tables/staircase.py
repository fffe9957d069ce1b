"""Fronts of two objectives: hypervolume as a sweep, and its expected improvement when cost is known."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr

from benchmarks.tables.table import Floats


def staircase(costs: ArrayLike, errors: ArrayLike) -> tuple[Floats, Floats]:
    """The front by rising cost: costs [k] and strictly falling errors [k]."""
    c, e = np.asarray(costs, dtype=float), np.asarray(errors, dtype=float)
    by = np.lexsort((e, c))
    c, e = c[by], e[by]
    best = np.minimum.accumulate(e)
    first = np.append(True, best[1:] < best[:-1]) if len(e) else np.zeros(0, dtype=bool)
    return c[first], e[first]


def hypervolume(costs: ArrayLike, errors: ArrayLike, corner: tuple[float, float]) -> float:
    """Area that points dominate below `corner` (cost, error)."""
    c, e = np.asarray(costs, dtype=float), np.asarray(errors, dtype=float)
    inside = (c < corner[0]) & (e < corner[1])
    c, e = staircase(c[inside], e[inside])
    return float(np.sum(np.diff(np.append(c, corner[0])) * (corner[1] - e)))


def history(costs: ArrayLike, errors: ArrayLike, corner: tuple[float, float]) -> Floats:
    """Hypervolume after each of n points [n]."""
    c, e = np.asarray(costs, dtype=float), np.asarray(errors, dtype=float)
    out, front, now = np.zeros(len(c)), np.zeros((0, 2)), 0.0
    for k, point in enumerate(np.column_stack([c, e])):
        if (point < corner).all() and not (front <= point).all(axis=1).any():
            front = np.vstack([front[~(point <= front).all(axis=1)], point])
            now = hypervolume(front[:, 0], front[:, 1], corner)
        out[k] = now
    return out


def expected(
    costs: ArrayLike, means: ArrayLike, spreads: ArrayLike, front: tuple[Floats, Floats], corner: tuple[float, float]
) -> Floats:
    """Expected hypervolume improvement of candidates [n] with known costs and Gaussian errors.

    Over each step of the staircase beyond a candidate's cost: its width times the expected improvement on its error.
    """
    c, m = np.asarray(costs, dtype=float)[:, None], np.asarray(means, dtype=float)[:, None]
    s = np.maximum(np.asarray(spreads, dtype=float), 1e-12)[:, None]
    steps, errors = staircase(*front)
    keep = (steps < corner[0]) & (errors < corner[1])
    left = np.concatenate([[-np.inf], steps[keep]])
    right = np.concatenate([steps[keep], [corner[0]]])
    level = np.concatenate([[corner[1]], errors[keep]])
    widths = np.clip(right - np.maximum(left, c), 0.0, None)
    z = (level - m) / s
    gain = s * (z * ndtr(z) + np.exp(-0.5 * z * z) / np.sqrt(2 * np.pi))
    return np.asarray((widths * gain).sum(axis=1))
