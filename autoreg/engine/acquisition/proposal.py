"""A recipe to ask for, and what it must meet before it may be asked."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from statistics import NormalDist
from typing import Any

from autoreg.engine.log.prediction import Prediction
from autoreg.engine.log.records import StudyState
from autoreg.engine.problem import Interval, Problem
from autoreg.engine.surrogate.cost_correction import CostCorrection
from autoreg.errors import AutoregError

MAX_CACHED_CANDIDATES = 100_000
"""Candidates whose known costs are held before the cache is emptied."""

QUANTILE_SCORES = tuple(NormalDist().inv_cdf((k + 0.5) / 10) for k in range(10))
"""Normal scores of quantiles that are equally likely."""


@dataclass(frozen=True)
class Proposal:
    """A recipe to ask for.

    Attributes:
        config: The recipe's config.
        source: Who proposed it.
        key: Its identity.
        costs: Its known costs; the low end of those that are known with an error.
        prediction: What the surrogate predicts of it.
        intervals: Costs that are known with an error.
        reevaluation_of: Number of the recipe's first trial, where it is run again.
        seed: Of the trial; None: the study's own.
        expected_improvement: Hypervolume in the unit cube that it was chosen for.
        log_feasibility: Logarithm of the probability that it meets the constraints on learned costs.
    """

    config: dict[str, Any]
    source: str
    key: str
    costs: dict[str, float]
    prediction: Prediction | None = None
    intervals: Mapping[str, Interval] = field(default_factory=dict)
    reevaluation_of: int | None = None
    seed: int | None = None
    expected_improvement: float | None = None
    log_feasibility: float = 0.0

    def event(self, number: int, study_seed: int) -> dict[str, Any]:
        """What the log holds of it, asked as trial `number` of a study with this seed."""
        event: dict[str, Any] = {
            "event": "ask",
            "trial": number,
            "config": self.config,
            "source": self.source,
            "seed": study_seed if self.seed is None else self.seed,
            "costs": self.costs,
            "prediction": None if self.prediction is None else self.prediction.to_dict(),
        }
        if self.intervals:
            event["intervals"] = {name: list(interval) for name, interval in self.intervals.items()}
        if self.reevaluation_of is not None:
            event["reevaluation_of"] = self.reevaluation_of
        return event

    @property
    def expected_costs(self) -> dict[str, float]:
        """Known costs, with the middle of those that are known with an error."""
        return {**self.costs, **{n: i.middle for n, i in self.intervals.items()}}


class CandidateFilter:
    """Decides which candidates may be asked: new, allowed by the space, within the constraints at their known cost.

    Args:
        problem: The study.

    Attributes:
        rejected: How many candidates were refused for each reason since it was last emptied.
    """

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        self._taken: set[str] = set()
        self._read = 0
        self._costs: dict[str, tuple[dict[str, float], dict[str, Interval]]] = {}
        self._correction = CostCorrection(problem)
        self.rejected: Counter[str] = Counter()

    def taken(self, state: StudyState) -> set[str]:
        """Keys of all recipes that were asked. Call it before candidates of a state are checked."""
        self._correction.update(state)
        for record in state.records[self._read :]:
            self._taken.add(self._problem.identity(record.config))
        self._read = len(state.records)
        return self._taken

    def check(self, config: dict[str, Any], source: str, taken: set[str]) -> Proposal | None:
        """Return the proposal of a candidate, or None, with the reason counted, if it may not be asked."""
        if not self._problem.space.allowed(config):
            self.rejected["forbidden by the space"] += 1
            return None
        try:
            key = self._problem.identity(config)
            if key in taken:
                self.rejected["asked before"] += 1
                return None
            proposal = self.unchecked(config, source, key)
        except AutoregError as error:
            self.rejected[str(error)] += 1
            return None
        broken = self._problem.violated(proposal.costs)
        if broken:
            self.rejected.update(f"constraint {text!r} broken at known cost" for text in broken)
            return None
        return replace(proposal, log_feasibility=self._log_feasibility(proposal))

    def _log_feasibility(self, proposal: Proposal) -> float:
        """By the quantiles of the learned costs, taken together, at which the constraints hold; their low end does."""
        learned = {n: proposal.intervals[n] for n in self._problem.learned_costs if n in proposal.intervals}
        if not any(rule.names & learned.keys() for rule in self._problem.constraints):
            return 0.0
        holds = 0
        for score in QUANTILE_SCORES:
            costs = {name: interval.quantile(score) for name, interval in learned.items()}
            holds += not self._problem.violated({**proposal.costs, **costs})
        return math.log(max(holds, 0.5) / len(QUANTILE_SCORES))

    def unchecked(self, config: dict[str, Any], source: str, key: str) -> Proposal:
        """The proposal of a config that is asked whatever its costs are: a baseline."""
        if key not in self._costs:
            if len(self._costs) >= MAX_CACHED_CANDIDATES:
                self._costs.clear()
            self._costs[key] = self._problem.known_costs_and_intervals(config)
        costs, predicted = self._costs[key]
        intervals = self._correction.corrected(config, predicted)
        costs = costs | {name: interval.low for name, interval in intervals.items()}
        return Proposal(config, source, key, costs, intervals=intervals)
