"""The additive program: one level per layer, least summed distortion within a budget. Loads without torch.

A multiple-choice knapsack solved by dynamic programming over the cost that is spent above the cheapest assignment.
Costs that would need a larger table are rounded up to buckets, so that a budget is never broken.

Source: Xu et al., Efficient Joint Optimization of Layer-Adaptive Weight Pruning in Deep Neural Networks, 2023, arXiv
2308.10438 (catalogue 104): distortions of layers add up to first order, which leaves a knapsack. Checked against brute
force, and against the bound of the linear relaxation.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from autoreg.errors import InputError

BUCKETS = 10_000
"""Columns of the table: costs above the cheapest assignment are told apart to 1/10,000 of what is to spend."""

Table = Sequence[Sequence[float]]
"""Numbers by layer and level; layers may have different numbers of levels."""


@dataclass(frozen=True)
class Assignment:
    """One level per layer.

    Attributes:
        levels: index of the level of each layer.
        cost: sum of the costs, exactly.
        distortion: sum of the distortions.
    """

    levels: tuple[int, ...]
    cost: int
    distortion: float


def program(distortions: Table, costs: Sequence[Sequence[int]], budget: int, *, buckets: int = BUCKETS) -> Assignment:
    """The assignment of least summed distortion whose cost is at most `budget`.

    Exact where the costs, in units of their greatest common divisor, fit the table. Else each layer's cost is rounded
    up by less than (budget - cost of the cheapest assignment) / `buckets`: the distortion is then no larger than the
    least that a budget smaller by `layers` such steps allows.

    Args:
        distortions: by layer and level, finite.
        costs: by layer and level, whole numbers.
        budget: most that the costs may add up to.
        buckets: columns of the table.

    Raises:
        InputError: no assignment is within the budget, or the tables do not fit each other.

    Example:
        >>> program([[9.0, 1.0], [4.0, 0.0]], [[1, 3], [1, 2]], budget=4)
        Assignment(levels=(1, 0), cost=4, distortion=5.0)
    """
    losses, spent, least = _checked(distortions, costs)
    spare = budget - least
    if spare < 0:
        raise InputError(f"program: the cheapest assignment costs {least:,}; a budget of {budget:,} allows none")
    table = _fill(losses, spent, spare, buckets)
    return _improved(table.levels(table.columns)[0], losses, costs, budget)


def programs(distortions: Table, costs: Sequence[Sequence[int]], *, buckets: int = BUCKETS) -> list[Assignment]:
    """The front of all budgets from one table: assignments by growing cost, each with less distortion than the last.

    Arguments and errors are those of `program`.

    Example:
        >>> [(a.cost, a.distortion) for a in programs([[9.0, 1.0], [4.0, 0.0]], [[1, 3], [1, 2]])]
        [(2, 13.0), (3, 9.0), (4, 5.0), (5, 1.0)]
    """
    losses, spent, _ = _checked(distortions, costs)
    most = sum(int(column.max()) for column in spent)
    table = _fill(losses, spent, most, buckets, whole=True)
    every = np.arange(table.columns + 1)
    drops = np.flatnonzero(np.diff(table.best, prepend=math.inf) < 0)
    found: list[Assignment] = []
    for levels in table.levels(every[drops]):
        one = _assignment(levels, losses, costs)
        while found and found[-1].cost >= one.cost:  # buckets hide that it is cheaper
            found.pop()
        if not found or one.distortion < found[-1].distortion:
            found.append(one)
    return found


@dataclass(frozen=True)
class _Table:
    """What a run left: `best` [columns + 1] by column, and by layer the level and the column before it."""

    best: NDArray[np.float64]
    chosen: tuple[NDArray[np.int64], ...]
    steps: tuple[NDArray[np.int64], ...]

    @property
    def columns(self) -> int:
        return len(self.best) - 1

    def levels(self, columns: int | NDArray[np.int64]) -> NDArray[np.int64]:
        """Levels [n, layers] of the best assignments that spend at most so many columns."""
        at = np.atleast_1d(np.asarray(columns)).copy()
        found = np.empty((len(at), len(self.chosen)), dtype=np.int64)
        for layer in reversed(range(len(self.chosen))):
            found[:, layer] = self.chosen[layer][at]
            at -= self.steps[layer][found[:, layer]]
        return found


def _fill(
    losses: list[NDArray[np.float64]], spent: list[NDArray[np.int64]], spare: int, buckets: int, *, whole: bool = False
) -> _Table:
    """Run the program over all that can be spent; `whole` adds columns until every assignment has one."""
    unit = math.gcd(*(int(cost) for column in spent for cost in column)) or 1
    columns = spare // unit
    if columns <= buckets:
        steps = [column // unit for column in spent]
    else:
        columns = buckets
        steps = [-(-column * buckets // spare) for column in spent]  # rounded up
    if whole:
        columns = sum(int(step.max()) for step in steps)
    best = np.zeros(columns + 1)
    chosen = []
    for values, step in zip(losses, steps, strict=True):
        rows = np.full((len(values), columns + 1), math.inf)
        for level, (value, width) in enumerate(zip(values, step, strict=True)):
            if width <= columns:
                rows[level, width:] = best[: columns + 1 - width] + value
        pick = rows.argmin(0)
        best = rows[pick, np.arange(columns + 1)]
        chosen.append(pick)
    return _Table(best, tuple(chosen), tuple(steps))


def _improved(
    levels: NDArray[np.int64], losses: list[NDArray[np.float64]], costs: Sequence[Sequence[int]], budget: int
) -> Assignment:
    """Spend what rounding to buckets left: the best single raise that fits, as long as there is one."""
    levels = levels.copy()
    left = budget - sum(int(costs[layer][level]) for layer, level in enumerate(levels))
    while True:
        raises = [
            (losses[layer][level] - losses[layer][now], layer, level)
            for layer, now in enumerate(levels)
            for level in range(len(losses[layer]))
            if losses[layer][level] < losses[layer][now] and costs[layer][level] - costs[layer][now] <= left
        ]
        if not raises:
            return _assignment(levels, losses, costs)
        _, layer, level = min(raises)
        left -= costs[layer][level] - costs[layer][levels[layer]]
        levels[layer] = level


def _assignment(
    levels: NDArray[np.int64], losses: list[NDArray[np.float64]], costs: Sequence[Sequence[int]]
) -> Assignment:
    picked = tuple(int(level) for level in levels)
    return Assignment(
        picked,
        sum(int(costs[layer][level]) for layer, level in enumerate(picked)),
        float(sum(losses[layer][level] for layer, level in enumerate(picked))),
    )


def _checked(
    distortions: Table, costs: Sequence[Sequence[int]]
) -> tuple[list[NDArray[np.float64]], list[NDArray[np.int64]], int]:
    """Distortions, costs above the cheapest level of each layer, and the cost of the cheapest assignment."""
    if [len(row) for row in distortions] != [len(row) for row in costs] or not all(len(row) for row in costs):
        raise InputError("program: distortions and costs differ in layers or levels, or a layer has no level")
    losses = [np.asarray(row, dtype=float) for row in distortions]
    if not all(np.isfinite(row).all() for row in losses):
        raise InputError("program: a distortion is no finite number")
    whole = [np.asarray([int(cost) for cost in row], dtype=np.int64) for row in costs]
    least = sum(int(row.min()) for row in whole)
    return losses, [row - row.min() for row in whole], least
