"""What a study has attained, and what is left to gain beyond it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from autoreg.engine.log.records import Record, StudyState
from autoreg.engine.pareto.ehvi import NondominatedPartitioning
from autoreg.engine.pareto.front import Floats, Mask, nondominated
from autoreg.engine.problem import Problem
from autoreg.engine.surrogate.output_warping import HalfLog

QUALITY_SLACK = 0.01
QUALITY_SLACK_FRACTION = 0.1
"""How much better than the best quality so far a candidate may turn out: in units of chance level, and as fraction."""

NEGLIGIBLE_VOLUME = 1e-5
"""A candidate that could add no more than this share of the unit cube cannot extend the front."""


class AttainedFront:
    """The front of what was observed, and the region beyond it; worked out anew when another trial ends.

    Running trials count with their pending predictions, so that workers do not all seek the same improvement.

    Args:
        problem: The study.
        quality_over_seeds: Quality of trials over seeds, by number, in place of what was observed; None: what was
            observed.
    """

    def __init__(
        self, problem: Problem, quality_over_seeds: Callable[[StudyState], Mapping[int, float]] | None = None
    ) -> None:
        self._problem = problem
        self._quality_over_seeds = quality_over_seeds
        self._column = problem.names.index(problem.quality)
        self._at: tuple[int, bool, tuple[int, ...]] | None = None
        self.members: list[Record] = []
        self.region: NondominatedPartitioning | None = None
        self._pessimistic: NondominatedPartitioning | None = None
        self._points: Floats = np.zeros((0, len(problem.names)))
        self._attained: Floats = self._points
        self._ended = 0
        self._candidates: list[Record] = []
        self._rows: list[list[float]] = []
        self._warped: tuple[HalfLog, NondominatedPartitioning] | None = None

    def update(self, state: StudyState) -> AttainedFront:
        """Bring it up to date with a state."""
        pending = [r for r in state.running() if self._is_predicted(r)]
        at = (len(state.ended_numbers), state.normalizer is not None, tuple(r.number for r in pending))
        if at == self._at:
            return self
        candidates = self._front_candidates(state)
        over_seeds = {} if self._quality_over_seeds is None else self._quality_over_seeds(state)
        rows = self._with(np.array(self._rows).reshape(-1, len(self._problem.names)), candidates, over_seeds)
        self._points = self._problem.scaled(rows, state)
        on = nondominated(self._points)
        self.members = [r for r, member in zip(candidates, on, strict=True) if member]
        self._attained = rows[on]
        self.region = self._pessimistic = None
        self._warped = None
        if state.normalizer is not None:
            corner = state.normalizer.corner
            self.region = self._pessimistic = NondominatedPartitioning.of(self._points[on], corner, self._column)
            if pending:
                self._attained = np.vstack([self._attained, self._pending_predictions(pending)])
                points = self._problem.scaled(self._attained, state)
                self.region = NondominatedPartitioning.of(points, corner, self._column)
            if any(r.intervals for r in candidates):
                rows = self._with(self._problem.pessimistic_table(candidates), candidates, over_seeds)
                points = self._problem.scaled(rows, state)
                self._pessimistic = NondominatedPartitioning.of(points, corner, self._column)
        self._at = at
        return self

    def warped(self, state: StudyState, warp: HalfLog) -> NondominatedPartitioning:
        """The region beyond the front where the quality is measured by its score, as the base models see it.

        A score tells good trials apart as the quality does, and bad ones little, so that the region which a single bad
        trial leaves does not outweigh all the rest.
        """
        self.update(state)
        assert state.normalizer is not None
        if self._warped is None or self._warped[0] is not warp:
            axis, sign = state.normalizer.axes[self._column], float(self._problem.signs[self._column])
            corner = np.array(state.normalizer.corner, dtype=float)
            at_corner = sign * axis.ideal + corner[self._column] * abs(axis.reference - axis.ideal)
            corner[self._column] = warp.forward([at_corner])[0]
            points = self._problem.scaled(self._attained, state)
            points[:, self._column] = warp.forward(sign * self._attained[:, self._column])
            self._warped = warp, NondominatedPartitioning.of(points, corner, self._column, floor=-math.inf)
        return self._warped[1]

    def could_extend(self, state: StudyState, costs: Sequence[Mapping[str, float]]) -> Mask:
        """Tell [n] which candidates, with the best quality so far and a little more, would extend the front.

        A trial whose cost is known with an error and was not measured stands in their way with its far end alone.
        Objectives that are not known in advance count with the best value so far. All could while the scale of
        hypervolume is not fixed or nothing is complete.
        """
        self.update(state)
        region = self._pessimistic
        if region is None or not len(self._points) or not any(n in c for c in costs for n in self._problem.names):
            return np.ones(len(costs), dtype=bool)
        best = self._points.min(axis=0)
        optimistic = max(best[self._column] * (1 - QUALITY_SLACK_FRACTION) - QUALITY_SLACK, 0.0)
        volumes = region.volumes(self._normalized_costs(state, costs, best))
        return np.asarray(volumes @ np.maximum(region.levels - optimistic, 0.0) > NEGLIGIBLE_VOLUME)

    def _front_candidates(self, state: StudyState) -> list[Record]:
        """Trials that may be on the front; only those that ended since the last update are read."""
        fresh = [state.records[n] for n in state.ended_numbers[self._ended :]]
        fresh = [r for r in fresh if self._problem.is_front_candidate(r)]
        self._ended = len(state.ended_numbers)
        self._candidates += fresh
        self._rows += self._problem.table(fresh).tolist()
        return self._candidates

    def _with(self, rows: Floats, records: Sequence[Record], over_seeds: Mapping[int, float]) -> Floats:
        """Objectives [n, m] of trials with the quality over seeds in place of the observed, where there is one."""
        if over_seeds:
            observed = rows[:, self._column]
            rows[:, self._column] = [over_seeds.get(r.number, v) for r, v in zip(records, observed, strict=True)]
        return rows

    def _is_predicted(self, record: Record) -> bool:
        """Whether a running trial counts with its prediction."""
        predicted, names = _objectives(record), self._problem.names
        return self._problem.quality in predicted and all(n in record.costs or n in predicted for n in names)

    def _pending_predictions(self, pending: Sequence[Record]) -> Floats:
        """Objectives [n, m] that are predicted of running trials."""
        rows = [[{**r.costs, **_objectives(r)}[n] for n in self._problem.names] for r in pending]
        return np.array(rows, dtype=float)

    def _normalized_costs(self, state: StudyState, costs: Sequence[Mapping[str, float]], otherwise: Floats) -> Floats:
        """Costs of candidates [n, d] in the unit cube, without the quality; what is not known as in `otherwise` [m]."""
        assert state.normalizer is not None
        names, axes = self._problem.names, state.normalizer.axes
        raw = np.array([[c.get(n, a.reference) for n, a in zip(names, axes, strict=True)] for c in costs], dtype=float)
        known = np.array([[n in c for n in names] for c in costs], dtype=bool)
        cube = np.where(known, state.normalizer.transform(raw), otherwise)
        return np.delete(cube, self._column, axis=1)


def _objectives(record: Record) -> Mapping[str, float]:
    """Objectives that were predicted for a trial."""
    return {} if record.prediction is None else record.prediction.objectives
