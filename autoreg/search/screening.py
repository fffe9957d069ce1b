"""Choosing among candidates before they are trained, by predicted quality at known cost."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from autoreg.search import front
from autoreg.search.front import Floats
from autoreg.search.problem import Problem
from autoreg.search.records import Record, State

if TYPE_CHECKING:
    from autoreg.search.trust import Judged, Quality

LEVELS = (0.1, 0.3, 0.5, 0.7, 0.9)
"""Middles of five equal parts of a predictive distribution: an expectation is the mean over them."""

SLACK = 0.01
SLACK_SHARE = 0.1
"""How much better than the best quality seen a candidate may turn out: in units of chance level, and as its share."""

NOTHING = 1e-5
"""A candidate that could add no more than this share of the unit cube cannot extend the front."""


def could_extend(problem: Problem, state: State, costs: Mapping[str, float]) -> bool:
    """Whether a candidate with the best quality seen, and a little more, would extend the front at its known costs.

    Objectives that are not known in advance count with the best value seen. True while the scale
    of hypervolume is not fixed or nothing is complete.
    """
    counted = problem.counted(state)
    if state.normalizer is None or not counted or not any(n in costs for n in problem.names):
        return True
    seen = problem.scaled(problem.table(counted), state)
    best = seen.min(axis=0)
    point = _place(problem, state, costs, best)
    column = problem.names.index(problem.quality)
    point[column] = max(best[column] * (1 - SLACK_SHARE) - SLACK, 0.0)
    return bool(front.improvements(point[None, :], seen, state.normalizer.corner)[0] > NOTHING)


def _place(problem: Problem, state: State, costs: Mapping[str, float], otherwise: Floats) -> Floats:
    """Objectives of a candidate in the unit cube [m]: its known costs, and `otherwise` for the rest."""
    assert state.normalizer is not None
    raw = np.array(
        [[costs.get(n, axis.reference) for n, axis in zip(problem.names, state.normalizer.axes, strict=True)]]
    )
    return np.where([n in costs for n in problem.names], state.normalizer.transform(raw)[0], otherwise)


@dataclass(frozen=True)
class Learned:
    """Predictors fitted to the first `count` complete trials: one per objective that is not known in advance."""

    count: int
    models: Mapping[str, Judged]
    quality: Quality

    def quantiles(self, name: str, encoded: Floats, sign: float) -> Floats:
        """Values [n, levels] of one objective, in its own units, from best to worst."""
        return sign * self.models[name].quantiles(encoded, LEVELS)


class Learner:
    """Keeps the predictors up to date, cheaply: they are fitted again every few complete trials.

    What is learned depends on recorded trials alone, so that a resumed study learns the same.

    Args:
        problem: The study.
        seed: Seed of folds and trees.
        least: Fewest complete trials to learn from.
        every: Complete trials between two fits; the interval grows to a tenth of the trials.
        group: Label of the trials that share luck (their trained prefix, say).
    """

    def __init__(
        self,
        problem: Problem,
        seed: int = 0,
        least: int = 20,
        every: int = 5,
        group: Callable[[dict[str, Any]], str] | None = None,
    ) -> None:
        self._problem = problem
        self._seed = seed
        self._least = least
        self._every = every
        self._group = group
        self._learned: Learned | None = None
        self._rows: dict[int, Floats | None] = {}

    def learned(self, state: State) -> Learned | None:
        """What is known now, or None with too few trials."""
        usable = [r for r in state.complete() if self._row(r) is not None]
        count = self._count(len(usable))
        if count < self._least:
            return None
        if self._learned is None or self._learned.count != count:
            self._learned = self._fit(usable[:count])
        return self._learned

    def _count(self, available: int) -> int:
        count = self._least
        while (step := max(self._every, count // 10)) <= available - count:
            count += step
        return count if available >= self._least else 0

    def _row(self, record: Record) -> Floats | None:
        if record.number not in self._rows:
            self._rows[record.number] = self._problem.encoded(record.config)
        return self._rows[record.number]

    def _fit(self, records: Sequence[Record]) -> Learned:
        from autoreg.search.trust import judge

        problem = self._problem
        encoded = np.array([self._row(r) for r in records])
        names = [n for n in problem.names if n != problem.quality and all(n in r.costs for r in records)]
        logs = np.log(np.maximum([[r.costs[n] for n in names] for r in records], 1e-12)).reshape(
            len(records), len(names)
        )
        groups = None if self._group is None else [self._group(r.config) for r in records]
        models = {}
        for name, sign in zip(problem.names, problem.signs, strict=True):
            if name in names:
                continue
            target = sign * np.array([r.metrics[name] for r in records])
            models[name] = judge(encoded, target, logs, groups=groups, least=self._least, seed=self._seed)
        return Learned(len(records), models, models[problem.quality].quality)


def expected_gains(
    problem: Problem,
    state: State,
    learned: Learned,
    configs: Sequence[dict[str, Any]],
    costs: Sequence[Mapping[str, float]],
) -> Floats:
    """Expected hypervolume improvement [n] of candidates of known cost, over five quantiles of what is predicted."""
    assert state.normalizer is not None
    counted = problem.counted(state)
    seen = problem.scaled(problem.table(counted), state)
    encoded = np.array([problem.encoded(c) for c in configs], dtype=float)
    foretold = {
        n: learned.quantiles(n, encoded, sign)
        for n, sign in zip(problem.names, problem.signs, strict=True)
        if n in learned.models
    }
    total = np.zeros(len(configs))
    for level in range(len(LEVELS)):
        raw = np.empty((len(configs), len(problem.names)))
        for m, (name, axis) in enumerate(zip(problem.names, state.normalizer.axes, strict=True)):
            guess = foretold[name][:, level] if name in foretold else np.full(len(configs), axis.reference)
            raw[:, m] = [g if name == problem.quality else c.get(name, g) for c, g in zip(costs, guess, strict=True)]
        total += front.improvements(problem.scaled(raw, state), seen, state.normalizer.corner)
    return total / len(LEVELS)


def prediction(problem: Problem, learned: Learned, config: dict[str, Any]) -> dict[str, Any] | None:
    """What is foretold of one config, to be recorded with it: median and 80 % bounds of its quality."""
    encoded = problem.encoded(config)
    if encoded is None:
        return None
    sign = float(problem.signs[problem.names.index(problem.quality)])
    quantiles = learned.quantiles(problem.quality, encoded[None, :], sign)[0]
    bounds = sorted((float(quantiles[0]), float(quantiles[-1])))
    return {
        problem.quality: float(quantiles[len(LEVELS) // 2]),
        "low": bounds[0],
        "high": bounds[1],
        "trials": learned.count,
        "trusted": learned.quality.trusted,
    }
