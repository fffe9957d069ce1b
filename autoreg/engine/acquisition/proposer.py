"""The next recipe of a study: drawn, checked against what is known before training, and screened."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from autoreg.engine.acquisition.attained_front import AttainedFront
from autoreg.engine.acquisition.maximizer import AcquisitionMaximizer
from autoreg.engine.acquisition.proposal import CandidateFilter, Proposal
from autoreg.engine.acquisition.shared_cost import SharedWorkLedger
from autoreg.engine.log.records import StudyState
from autoreg.engine.problem import Problem
from autoreg.engine.samplers.base import GridSampler, RandomSampler, Sampler
from autoreg.engine.samplers.observations import Observations
from autoreg.engine.surrogate.fitting import SurrogateFitter
from autoreg.engine.surrogate.noise_model import PosteriorEstimator, mean_qualities
from autoreg.engine.surrogate.threads import one_thread
from autoreg.errors import InputError

MAX_DRAWS = 500
"""Draws after which a proposal gives up, unless the space is small enough to be enumerated."""
SAMPLER_DRAWS = 24
"""Draws by the sampler itself; later ones are uniform, which reach every corner."""
MAX_SKIPPED = 48
"""Candidates that could not extend the front are passed over this often before one is taken."""
MAX_ENUMERATED = 20_000
"""Spaces up to this size are enumerated when draws find nothing new."""
EXPLORATION_SHARE = 0.03
"""Share of proposals that a trusted surrogate has no say in: uniform draws, as random exploration."""


class Proposer:
    """Proposes recipes that are new, allowed, within the constraints and able to extend the front.

    Args:
        problem: The study.
        sampler: Draws candidates.
        seed: The study's seed; the draws for trial `n` are seeded by (seed, n, draw).
        known_cost_filter: Whether candidates are passed over that could not extend the front even with the best
            quality seen.
        surrogate: Predicts quality for screening; None screens nothing.
        posterior: Quality of recipes over seeds; None where recipes are never run again, see
            `autoreg.engine.acquisition.reevaluation`. The front to be extended is made of what was observed.
        ledger: Which work has been done; the improvement sought is that per remaining epoch, see
            `autoreg.engine.acquisition.shared_cost`. None: all trials cost alike.
    """

    def __init__(
        self,
        problem: Problem,
        sampler: Sampler,
        seed: int,
        *,
        known_cost_filter: bool = True,
        surrogate: SurrogateFitter | None = None,
        posterior: PosteriorEstimator | None = None,
        ledger: SharedWorkLedger | None = None,
    ) -> None:
        self._problem = problem
        self._sampler = sampler
        self._uniform = RandomSampler(problem.space)
        self._seed = seed
        self._filters = known_cost_filter
        self._surrogate = surrogate
        self._observations = Observations(problem)
        self._front = AttainedFront(problem, lambda state: mean_qualities(state, problem.quality))
        self.candidates = CandidateFilter(problem)
        training = None if surrogate is None else surrogate.training
        self._maximizer = AcquisitionMaximizer(
            problem,
            self.candidates,
            sampler,
            seed,
            front=self._front,
            ledger=ledger,
            posterior=posterior,
            training=training,
        )

    def propose(self, state: StudyState, number: int) -> Proposal | None:
        """Return the recipe of trial `number`, or None when the space has no other."""
        taken = self.candidates.taken(state)
        self.candidates.rejected = Counter()
        fitted = None if self._surrogate is None else self._surrogate.fit(state)
        found = None
        if fitted is not None and fitted.trusted and state.normalizer is not None:
            if self._is_exploration(number):
                found = self._drawn(state, number, taken, uniform=True)
            else:
                with one_thread():
                    found = self._maximizer.propose(state, number, taken, fitted)
        found = found or self._drawn(state, number, taken) or self._enumerated(number, taken)
        if found is None or found.reevaluation_of is not None or fitted is None or self._surrogate is None:
            return found
        with one_thread():
            prediction = self._surrogate.predict(fitted, found.config, found.costs)
        if prediction is not None and found.expected_improvement is not None:
            prediction = replace(prediction, expected_improvement=round(found.expected_improvement, 8))
        return replace(found, prediction=prediction)

    def require_possible(self, given: Sequence[dict[str, Any]] = ()) -> None:
        """Look for one recipe of the space that may be asked at all: among those `given`, then among uniform draws.

        Raises:
            InputError: If none is found; the message says why candidates were refused.
        """
        rejected = self.candidates.rejected = Counter()
        inside = [config for config in given if self._problem.contains(config)]
        if any(self.candidates.check(config, "", set()) is not None for config in inside):
            return
        for k in range(MAX_DRAWS):
            config = self._uniform.propose((), (self._seed, 0, k))
            if config is not None and self.candidates.check(config, "", set()) is not None:
                return
        if self._enumerated(0, set()) is None:
            why = "; ".join(f"{count} times: {reason}" for reason, count in rejected.most_common(3))
            raise InputError(
                f"no recipe of the space can be tried: none of {sum(rejected.values()):,} candidates may be "
                f"asked ({why}). Loosen the constraints or widen the space."
            )

    def _is_exploration(self, number: int) -> bool:
        return bool(np.random.default_rng([self._seed, number, 0x91A1]).random() < EXPLORATION_SHARE)

    def _drawn(self, state: StudyState, number: int, taken: set[str], *, uniform: bool = False) -> Proposal | None:
        grid = isinstance(self._sampler, GridSampler)
        seen = [] if grid or uniform else self._observations.of(state)
        spare: Proposal | None = None
        skipped = 0
        for k in range(10**9 if grid else MAX_DRAWS):
            own = grid or (k < SAMPLER_DRAWS and not uniform)
            sampler: Sampler = self._sampler if own else self._uniform
            config = sampler.propose(seen, (self._seed, number, k))
            if config is None:
                return spare
            proposal = self.candidates.check(config, sampler.name, taken)
            if proposal is None:
                continue
            if grid or not self._filters or self._front.could_extend(state, [proposal.costs])[0]:
                return proposal
            spare, skipped = spare or proposal, skipped + 1
            if skipped >= MAX_SKIPPED:
                return spare
        return spare

    def _enumerated(self, number: int, taken: set[str]) -> Proposal | None:
        """Take any acceptable recipe of a small space, at random."""
        count = self._problem.space.size().count
        if not math.isfinite(count) or count > MAX_ENUMERATED:
            return None
        configs = list(self._problem.space.enumerate(MAX_ENUMERATED))
        for k in np.random.default_rng([self._seed, number]).permutation(len(configs)):
            proposal = self.candidates.check(configs[k], "walk", taken)
            if proposal is not None:
                return proposal
        return None
