"""Asynchronous successive halving for two objectives: by non-dominated rank of (error at the rung, log cost).

Li et al., "A system for massively parallel hyperparameter tuning", MLSys 2020, arXiv 1810.05934; for several objectives
Schmucker et al., "Multi-objective asynchronous successive halving", 2021, arXiv 2106.12639. The variant that stops, as
Optuna, Ray Tune and Syne Tune have it by default: a trial goes on from a rung if it is among the best 1/eta of all that
have got there so far, itself included; a trial that was stopped never comes back.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import optuna
from numpy.typing import NDArray

from autoreg.engine.pareto.front import nondominated
from benchmarks.tables.arms import Base, Task
from benchmarks.tables.arms.linas import select
from benchmarks.tables.arms.optuna_arms import TPE
from benchmarks.tables.arms.simple import Random
from benchmarks.tables.table import Config, Floats

ETA = 3
Order = Callable[[Floats], NDArray[np.int64]]
"""Indices [n] of points [n, 2] from the best to the worst."""


class Rungs:
    """Points at the rungs 1, eta, eta^2, ... of the curve, in the order in which they came."""

    def __init__(self, order: Order, eta: int = ETA) -> None:
        self.order, self.eta = order, eta
        self.points: dict[int, list[tuple[float, float]]] = {}

    def stops(self, step: int, point: tuple[float, float]) -> bool:
        """Note a trial that reaches `step` with (error, log cost); whether it ends there."""
        rung = 1
        while rung < step:
            rung *= self.eta
        if rung != step:
            return False
        held = self.points.setdefault(step, [])
        held.append(point)
        best = self.order(np.array(held))[: max(1, len(held) // self.eta)]
        return len(held) - 1 not in best


def spread(points: Floats) -> NDArray[np.int64]:
    """MO-ASHA's order: front by front, and within a front by a greedy epsilon-net that begins at the least error.

    Each next point is the farthest from those before it, in units of the deviation of each column.
    """
    unit = points / np.maximum(points.std(axis=0), 1e-12)
    left, out = np.arange(len(points)), []
    while len(left):
        on = nondominated(points[left])
        front, left = left[on], left[~on]
        net = [int(front[np.argmin(points[front, 0])])]
        while len(net) < len(front):
            gaps = np.linalg.norm(unit[front][:, None] - unit[net][None], axis=2).min(axis=1)
            gaps[np.isin(front, net)] = -1.0
            net.append(int(front[np.argmax(gaps)]))
        out += net
    return np.array(out, dtype=np.int64)


class _Asha(Base):
    """Stops trials at rungs; mixed in before the arm that proposes."""

    order: Order = staticmethod(select)

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self.rungs = Rungs(self.order)

    def report(self, config: Config, step: int, steps: int, error: float) -> bool:
        """Whether the trial ends at this step."""
        return self.rungs.stops(step, (error, self.task.log_cost(config)))

    def stopped(self, config: Config, error: float, cost: float) -> None:
        """Nothing but the rung remembers a trial that was stopped."""


class RandomAsha(_Asha, Random):
    """Even draws; ties within a front by crowding distance."""


class MOAsha(_Asha, Random):
    """MO-ASHA from the paper: random draws, the epsilon-net."""

    order = staticmethod(spread)


class TPEAsha(_Asha, TPE):
    """TPE, to which a stopped trial is reported as pruned: it counts as bad. Ties by crowding distance."""

    def stopped(self, config: Config, error: float, cost: float) -> None:
        """Tell Optuna."""
        self._close(config, state=optuna.trial.TrialState.PRUNED)
