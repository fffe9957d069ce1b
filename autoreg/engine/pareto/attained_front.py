"""What a study has reached, and what is left to gain beyond it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from autoreg.engine.log.records import Record, StudyState
from autoreg.engine.pareto.front import Floats, nondominated
from autoreg.engine.problem import Problem

if TYPE_CHECKING:
    from autoreg.engine.pareto.ehvi import NondominatedPartitioning
    from autoreg.engine.surrogate.output_warping import HalfRank

SLACK = 0.01
SLACK_SHARE = 0.1
"""How much better than the best quality seen a candidate may turn out: in units of chance level, and as its share."""

NOTHING = 1e-5
"""A candidate that could add no more than this share of the unit cube cannot extend the front."""


class AttainedFront:
    """What has been reached, and what is left to gain; kept until another trial ends.

    What is sought lies beyond what running trials are foretold to reach too, so that workers do not all seek the same.

    Args:
        problem: The study.
        believed: Quality of trials over seeds, by number, in place of what was observed; None: what was observed.
    """

    def __init__(self, problem: Problem, believed: Callable[[StudyState], Mapping[int, float]] | None = None) -> None:
        self._problem = problem
        self._believed_of = believed
        self._column = problem.names.index(problem.quality)
        self._at: tuple[int, bool, tuple[int, ...]] | None = None
        self.seen: Floats = np.zeros((0, len(problem.names)))
        self.members: list[Record] = []
        self.region: NondominatedPartitioning | None = None
        self._cautious: NondominatedPartitioning | None = None
        self._reached: Floats = self.seen
        self._told = 0
        self._counted: list[Record] = []
        self._rows: list[list[float]] = []
        self._warped: tuple[HalfRank, NondominatedPartitioning] | None = None

    def update(self, state: StudyState) -> AttainedFront:
        """Bring it up to date with a state."""
        running = [r for r in state.running() if self._believed(r)]
        at = (len(state.ended_numbers), state.normalizer is not None, tuple(r.number for r in running))
        if at != self._at:
            counted = self._heard(state)
            believed = {} if self._believed_of is None else self._believed_of(state)
            rows = self._with(np.array(self._rows).reshape(-1, len(self._problem.names)), counted, believed)
            self.seen = self._problem.scaled(rows, state)
            on = nondominated(self.seen)
            self.members = [r for r, member in zip(counted, on, strict=True) if member]
            self._reached = rows[on]
            self.region = self._cautious = None
            self._warped = None
            if state.normalizer is not None:
                from autoreg.engine.pareto.ehvi import NondominatedPartitioning

                corner = state.normalizer.corner
                self.region = self._cautious = NondominatedPartitioning.of(self.seen[on], corner, self._column)
                if running:
                    hopes = [[{**r.costs, **_objectives(r)}[n] for n in self._problem.names] for r in running]
                    self._reached = np.vstack([self._reached, np.array(hopes, dtype=float)])
                    self.region = NondominatedPartitioning.of(
                        self._problem.scaled(self._reached, state), corner, self._column
                    )
                if any(r.intervals for r in counted):
                    careful = self._with(self._problem.pessimistic_table(counted), counted, believed)
                    self._cautious = NondominatedPartitioning.of(
                        self._problem.scaled(careful, state), corner, self._column
                    )
            self._at = at
        return self

    def warped(self, state: StudyState, warp: HalfRank) -> NondominatedPartitioning:
        """What is left to gain where the quality is measured by its score, as the experts see it.

        A score tells good trials apart as the quality does, and bad ones by rank, so that what a single very bad trial
        leaves behind is not worth more than all the rest.
        """
        from autoreg.engine.pareto.ehvi import NondominatedPartitioning

        self.update(state)
        assert state.normalizer is not None
        if self._warped is None or self._warped[0] is not warp:
            axis, sign = state.normalizer.axes[self._column], float(self._problem.signs[self._column])
            corner = np.array(state.normalizer.corner, dtype=float)
            at_corner = sign * axis.ideal + corner[self._column] * abs(axis.reference - axis.ideal)
            corner[self._column] = warp.forward([at_corner])[0]
            points = self._problem.scaled(self._reached, state)
            points[:, self._column] = warp.forward(sign * self._reached[:, self._column])
            self._warped = warp, NondominatedPartitioning.of(points, corner, self._column, floor=-math.inf)
        return self._warped[1]

    def _heard(self, state: StudyState) -> list[Record]:
        """Trials that may be on the front; only those that ended since the last look are read."""
        fresh = [
            r for n in state.ended_numbers[self._told :] if self._problem.is_front_candidate(r := state.records[n])
        ]
        self._told = len(state.ended_numbers)
        self._counted += fresh
        self._rows += self._problem.table(fresh).tolist()
        return self._counted

    def _with(self, rows: Floats, records: Sequence[Record], believed: Mapping[int, float]) -> Floats:
        """Objectives [n, m] of trials with the believed quality in place of the observed, where there is one."""
        if believed:
            seen = rows[:, self._column]
            rows[:, self._column] = [believed.get(r.number, v) for r, v in zip(records, seen, strict=True)]
        return rows

    def _believed(self, record: Record) -> bool:
        """Whether a running trial counts with what is foretold of it."""
        foretold, names = _objectives(record), self._problem.names
        return self._problem.quality in foretold and all(n in record.costs or n in foretold for n in names)

    def places(self, state: StudyState, costs: Sequence[Mapping[str, float]], otherwise: Floats) -> Floats:
        """Costs of candidates [n, d] in the unit cube, without the quality; what is not known as in `otherwise` [m]."""
        assert state.normalizer is not None
        names, axes = self._problem.names, state.normalizer.axes
        raw = np.array([[c.get(n, a.reference) for n, a in zip(names, axes, strict=True)] for c in costs], dtype=float)
        known = np.array([[n in c for n in names] for c in costs], dtype=bool)
        cube = np.where(known, state.normalizer.transform(raw), otherwise)
        return np.delete(cube, self._column, axis=1)

    def could_extend(self, state: StudyState, costs: Sequence[Mapping[str, float]]) -> np.ndarray:
        """Tell [n] which candidates, with the best quality seen and a little more, would extend the front.

        A trial whose cost is known with an error and was not measured stands in their way with its far end alone.
        Objectives that are not known in advance count with the best value seen. All do while the
        scale of hypervolume is not fixed or nothing is complete.
        """
        self.update(state)
        region = self._cautious
        if region is None or not len(self.seen) or not any(n in c for c in costs for n in self._problem.names):
            return np.ones(len(costs), dtype=bool)
        best = self.seen.min(axis=0)
        hope = max(best[self._column] * (1 - SLACK_SHARE) - SLACK, 0.0)
        gained = region.volumes(self.places(state, costs, best)) @ np.maximum(region.levels - hope, 0.0)
        return np.asarray(gained > NOTHING)


def _objectives(record: Record) -> Mapping[str, float]:
    """Objectives that were predicted for a trial."""
    return {} if record.prediction is None else record.prediction.objectives
