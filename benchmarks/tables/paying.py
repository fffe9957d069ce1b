"""What a trial of a table pays: the phases that nobody has paid before, as far as the trial gets."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from autoreg.errors import InputError
from benchmarks.tables.table import Table

NEARLY = 1e-9


class Cost(NamedTuple):
    """Weighted epochs and seconds."""

    epochs: float
    seconds: float


@dataclass
class Meter:
    """Charges the trials of one run.

    With the cache on, a phase is paid once: by the first trial that ends it. A trial that is stopped within a phase
    pays for the part that it ran and leaves nothing in the cache. With the cache off every trial pays for all it runs.

    Args:
        table: The table.
        cache: Whether finished phases are shared.
    """

    table: Table
    cache: bool = True
    _paid: set[str] = field(default_factory=set)

    def remaining_cost(self, row: int) -> Cost:
        """What a whole trial of this recipe would pay now."""
        return self._charge(row, math.inf)[0]

    def pay(self, row: int, step: int = 0) -> Cost:
        """Charge a trial that is stopped after `step` of its curve, or runs to its end (0); keep the phases it ends."""
        cost, ended = self._charge(row, epochs_at(self.table, row, step) if step else math.inf)
        if self.cache:
            self._paid.update(ended)
        return cost

    def finished(self, row: int) -> list[float]:
        """Share of each phase that somebody has paid and stored: 1 or 0."""
        return [float(key in self._paid) for key, _, _ in phases_of(self.table, row)]

    def _charge(self, row: int, until: float) -> tuple[Cost, list[str]]:
        spent, seconds, ended, left = 0.0, 0.0, [], until
        for key, epochs, took in phases_of(self.table, row):
            if left <= NEARLY:
                break
            part = 1.0 if epochs <= left + NEARLY else left / epochs
            if key not in self._paid:
                spent, seconds = spent + part * epochs, seconds + part * took
            if part < 1.0:
                break
            ended.append(key)
            left -= epochs
        return Cost(spent, seconds), ended


def phases_of(table: Table, row: int) -> Sequence[tuple[str, float, float]]:
    """Phases of a recipe, in order: (key, weighted epochs, seconds)."""
    return table.phase_costs(row)


def epochs_at(table: Table, row: int, step: int) -> float:
    """Weighted epochs that a trial has run after a step of its curve, those of shared phases included.

    Raises:
        InputError: If the table has no such step.
    """
    steps = 0 if table.curves is None else table.curves.shape[2]
    if not 1 <= step <= steps:
        raise InputError(f"table {table.name}: there is no step {step} on curves of {steps}")
    if table.curve_epochs is not None:
        return float(table.curve_epochs[row, step - 1])
    return step / steps * sum(epochs for _, epochs, _ in phases_of(table, row))


def whole(table: Table) -> Cost:
    """What a whole trial pays on average over the table when nothing is shared: the unit of budgets in epochs."""
    if table.phases is None:
        return Cost(1.0, 0.0)
    sums = np.array([[sum(p[1] for p in row), sum(p[2] for p in row)] for row in table.phases])
    return Cost(*(float(v) for v in sums.mean(axis=0)))
