"""Subsets of training data that are chosen without a model: representative ones first, varied ones afterwards.

Rows are compared by the cosine of their standardized inputs, s = (1 + cos) / 2, within their class. Two samplers:

- *easy sets* maximize graph cut by stochastic greedy steps: what lies in the midst of a class comes first;
- *varied sets* are drawn at random without replacement, a row the likelier the farther it lay from all that were taken
  before it when the rows of a class are taken farthest first (the gains of disparity-min).

Classes keep their proportions. Nothing here depends on a recipe, so that all trials share one bank.

Reference: Killamsetty et al., "MILO: Model-agnostic subset selection framework for efficient model training and
tuning", 2023, arXiv 2301.13287 (catalogue 315): SGE for the first sixth of the epochs, then WRE, resampled every epoch.
Of the authors' code the Taylor softmax of the gains and the drawing without replacement were read; here rows are
standardized inputs, not outputs of a pretrained encoder, and gains are distances.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.floating]
IntArray = NDArray[np.int64]

EASY_FRACTION = 1 / 6
"""Fraction of a training's epochs that uses easy sets."""
EASY_SETS = 8
"""Easy sets of a bank; epochs take them in turn."""
REDUNDANCY_WEIGHT = 0.4
"""Weight of redundancy in graph cut; up to 0.5 the function is monotone and submodular."""
GREEDY_EPSILON = 0.01
"""Stochastic greedy reaches in expectation 1 - 1/e - GREEDY_EPSILON of the best value that a set of its size has."""
HASHED_COLUMNS, PRINCIPAL_COMPONENTS = 1024, 64
"""Wider inputs are hashed to so many columns, and reduced to so many principal components."""
ORDERING_BLOCK = 4096
"""Rows of a class that are ordered farthest first together; larger classes are divided at random."""


def represent(chunks: Callable[[], Iterable[FloatArray]]) -> FloatArray:
    """Rows of unit length whose products are the cosines of the standardized inputs, up to the components left out.

    Memory is that of the result and of one matrix of the columns' correlations.

    Args:
        chunks: gives the inputs in order, [m, d] at a time; called twice.

    Returns:
        float32 [n, at most PRINCIPAL_COMPONENTS].
    """
    count, total, square = 0, np.zeros(0), np.zeros((0, 0))
    for chunk in chunks():
        rows = _folded(chunk)
        if count == 0:
            total, square = np.zeros(rows.shape[1]), np.zeros((rows.shape[1],) * 2)
        count, total, square = count + len(rows), total + rows.sum(axis=0), square + rows.T @ rows
    mean = total / count
    covariance = square / count - np.outer(mean, mean)
    deviation = np.sqrt(np.maximum(np.diag(covariance), 0.0))
    scale = np.divide(1.0, deviation, out=np.zeros_like(deviation), where=deviation > 1e-6 * (1.0 + np.abs(mean)))
    turn = np.diag(scale)
    if len(scale) > PRINCIPAL_COMPONENTS:
        turn = scale[:, None] * np.linalg.eigh(covariance * np.outer(scale, scale))[1][:, -PRINCIPAL_COMPONENTS:]
    parts = [(_folded(chunk) - mean) @ turn for chunk in chunks()]
    found = np.concatenate(parts).astype(np.float32)
    return np.asarray(found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12))


def _folded(chunk: FloatArray) -> FloatArray:
    """Columns beyond `HASHED_COLUMNS` added to those before, with random signs, which keeps products in the mean."""
    rows = np.asarray(chunk, dtype=np.float64)
    width = rows.shape[1]
    if width <= HASHED_COLUMNS:
        return rows
    rng = np.random.default_rng(width)
    padded = np.zeros((len(rows), -(-width // HASHED_COLUMNS) * HASHED_COLUMNS))
    padded[:, rng.permutation(padded.shape[1])[:width]] = rows * rng.choice([-1.0, 1.0], width)
    return np.asarray(padded.reshape(len(rows), -1, HASHED_COLUMNS).sum(axis=1))


def class_sizes(counts: IntArray, fraction: float) -> IntArray:
    """Rows of each class in a subset: in proportion, at least one of each, as many in all as `fraction` asks for.

    Args:
        counts: rows of each class, at least 1 [c].
        fraction: of all rows, in (0, 1].
    """
    size = max(len(counts), round(fraction * int(counts.sum())))
    exact = counts * (size / counts.sum())
    sizes = np.maximum(np.floor(exact), 1).astype(np.int64)
    while sizes.sum() != size:  # at most a step or two for each class
        missing = np.sign(size - sizes.sum())
        may = sizes < counts if missing > 0 else sizes > 1
        sizes[np.argmax(np.where(may, missing * (exact - sizes), -np.inf))] += missing
    return np.asarray(sizes)


def easy_set(rows: FloatArray, size: int, rng: np.random.Generator) -> IntArray:
    """Positions [size] of a set that nearly maximizes graph cut, in the order in which they were taken.

    Graph cut is the sum of similarities between set and all rows, less `REDUNDANCY_WEIGHT` times the sum of those
    within the set. Each step takes the best of n / size * log(1 / GREEDY_EPSILON) rows drawn at random (Mirzasoleiman
    et al., "Lazier than lazy greedy", 2015). No matrix of similarities is made: their sums follow from sums of rows.

    Args:
        rows: of unit length [n, p].
        size: 1 to n.
        rng: draws the candidates.
    """
    count = len(rows)
    similarity = 0.5 * count + 0.5 * (rows @ rows.sum(axis=0))  # to all rows, itself included
    drawn = math.ceil(count / size * math.log(1 / GREEDY_EPSILON))
    free, taken = np.arange(count), np.empty(size, dtype=np.int64)
    inside = np.zeros(rows.shape[1], dtype=rows.dtype)
    for step in range(size):
        left = count - step
        among = rng.choice(left, min(drawn, left), replace=False, shuffle=False)
        ids = free[among]
        gains = similarity[ids] - REDUNDANCY_WEIGHT * (step + rows[ids] @ inside)  # twice that to what is inside
        best = int(np.argmax(gains))
        taken[step] = ids[best]
        free[among[best]] = free[left - 1]
        inside += rows[taken[step]]
    return taken


def spread_gains(rows: FloatArray) -> FloatArray:
    """For each row its distance (1 - cos) / 2 to the nearest of those taken before it, farthest first [n].

    The first is the one farthest from the mean; it has no such distance and gets that of the second.
    """
    gains = np.zeros(len(rows))
    nearest = np.full(len(rows), np.inf)
    first = at = int(np.argmin(rows @ rows.mean(axis=0)))
    for step in range(len(rows)):
        if step > 0:
            at = int(np.argmax(nearest))
            gains[at] = nearest[at]
            gains[first] = gains[at] if step == 1 else gains[first]
        nearest = np.minimum(nearest, np.maximum(0.5 - 0.5 * (rows @ rows[at]), 0.0))
        nearest[at] = -1.0  # taken
    return gains


@dataclass(frozen=True)
class Bank:
    """What varied sets are drawn from.

    Attributes:
        classes: class of each row, 0 to c - 1 [n]; all 0 where the task has no classes.
        gains: of each row, in [0, 1] [n]; all equal where nothing tells rows apart.
    """

    classes: IntArray
    gains: FloatArray

    @classmethod
    def of(cls, rows: FloatArray, classes: IntArray, seed: int = 0) -> Bank:
        """The bank of rows of unit length [n, p] with their classes [n]."""
        rng = np.random.default_rng([seed, 0x5E7])
        gains = np.zeros(len(rows), dtype=np.float32)
        for members in _members(classes):
            blocks = np.array_split(rng.permutation(members), -(-len(members) // ORDERING_BLOCK))
            for block in blocks:
                gains[block] = spread_gains(rows[block])
        return cls(classes, gains)

    def varied_set(self, fraction: float, rng: np.random.Generator) -> IntArray:
        """Positions of that fraction of the rows, sorted: by class, unrepeated, in proportion to 1 + g + g^2 / 2."""
        sizes = class_sizes(np.bincount(self.classes), fraction)
        keys = np.log(1 + self.gains + self.gains**2 / 2) + rng.gumbel(size=len(self.gains))
        order = np.lexsort((-keys, self.classes))
        starts = np.concatenate([[0], np.cumsum(np.bincount(self.classes))[:-1]])
        place = np.arange(len(order)) - starts[self.classes[order]]
        return np.sort(order[place < sizes[self.classes[order]]])


def easy_sets(rows: FloatArray, classes: IntArray, fraction: float, seed: int = 0) -> IntArray:
    """Positions [EASY_SETS, size] of easy sets of a fraction of the rows, each sorted, every class in proportion."""
    members = _members(classes)
    sizes = class_sizes(np.bincount(classes), fraction)
    rngs = [np.random.default_rng([seed, number, 0xEA5]) for number in range(EASY_SETS)]
    found = [
        np.concatenate([of[easy_set(rows[of], int(k), rng)] for of, k in zip(members, sizes, strict=True)])
        for rng in rngs
    ]
    return np.sort(np.stack(found), axis=1)


def _members(classes: IntArray) -> list[IntArray]:
    """Positions of the rows of each class."""
    ends = np.cumsum(np.bincount(classes))[:-1]
    return list(np.split(np.argsort(classes, kind="stable"), ends))
