"""The candidate of largest acquisition value: expected hypervolume improvement at known cost, per remaining epoch."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from autoreg.engine.acquisition import improvement
from autoreg.engine.acquisition.attained_front import AttainedFront
from autoreg.engine.acquisition.barren import BarrenTrainings
from autoreg.engine.acquisition.proposal import CandidateFilter, Proposal
from autoreg.engine.acquisition.reevaluation import best_reevaluation, realized_ratio, reevaluation_is_due
from autoreg.engine.acquisition.shared_cost import (
    COST_CUTS,
    VARIANT_SET_SIZES,
    PhaseCosts,
    SharedWorkLedger,
    dominant_phase,
    log_acquisition,
)
from autoreg.engine.acquisition.variants import SharedPrefixVariants
from autoreg.engine.log.records import StudyState
from autoreg.engine.pareto.front import Floats
from autoreg.engine.pareto.log_sum import log_sum
from autoreg.engine.problem import Interval, Problem
from autoreg.engine.samplers.base import GridSampler, Sampler
from autoreg.engine.samplers.mutation import crossover, mutate, quasi_random
from autoreg.engine.samplers.observations import Observations
from autoreg.engine.surrogate.fitted import FittedSurrogate
from autoreg.engine.surrogate.noise_model import PosteriorEstimator

POOL_SIZE = 128
"""Candidates that are judged first."""
CLIMB_ROUNDS = 3
PARENTS_PER_ROUND = 8
"""How often, and how many of, the best candidates are varied to find better ones."""
SHARED_PHASES = 2
"""Of so many of the best candidates, with different work to share, variants are made that share it."""
SAMPLER_CANDIDATES = 2
SAMPLER_UNTIL_TRIAL = 150
"""Draws of the sampler among the candidates, and the trial from which there are none: TPE's time grows with the trials,
to 0.1 s a draw at 1,000."""


WIDE_SPACE_PARAMETERS = 16
"""In a space of more parameters than this all candidates are variants of the front."""
MAX_CHANGES = 3
"""In how many parameters, of those that both have, a variant of the front may differ from the nearest member."""


class Candidate(NamedTuple):
    """A proposal, logarithms of its expected improvement in parts [j], and its remaining phase costs."""

    proposal: Proposal
    log_improvements: Floats
    remaining: PhaseCosts


class AcquisitionMaximizer:
    """Climbs along the acquisition, from a pool of candidates to their variants; or runs a recipe again.

    Args:
        problem: The study.
        candidates: Which of them may be asked.
        sampler: Draws a few of them.
        seed: The study's seed; draws for trial `n` are seeded by (seed, n).
        front: What has been reached.
        ledger: Which work has been done; None where all trials cost alike.
        posterior: Quality of recipes over seeds; None where recipes are never run again.
        training: Label of a config's training; None where no two configs share one.
    """

    def __init__(
        self,
        problem: Problem,
        candidates: CandidateFilter,
        sampler: Sampler,
        seed: int,
        *,
        front: AttainedFront,
        ledger: SharedWorkLedger | None,
        posterior: PosteriorEstimator | None,
        training: Callable[[dict[str, Any]], str] | None,
    ) -> None:
        self._problem = problem
        self._candidates = candidates
        self._sampler = sampler
        self._seed = seed
        self._front = front
        self._ledger = ledger
        self._posterior = posterior
        self._observations = Observations(problem)
        self._barren = BarrenTrainings(problem, training)
        self._variants = None if ledger is None else SharedPrefixVariants(problem.space, ledger.phase_costs)

    def propose(self, state: StudyState, number: int, taken: set[str], surrogate: FittedSurrogate) -> Proposal | None:
        """The best candidate for trial `number`, or a recipe to run again where that is expected to bring more.

        None where no candidate is left.
        """
        rng = np.random.default_rng([self._seed, number, 0x5C4EE])
        pool: dict[str, Candidate] = {}
        fresh = self._initial_pool(state, number, rng)
        for turn in range(CLIMB_ROUNDS + 1):
            fresh = self._near_front(state, fresh)
            checked = [self._candidates.check(c, "screened", taken) for c in fresh]
            proposals = {p.key: p for p in checked if p is not None and p.key not in pool}
            pool |= self._judged(state, surrogate, proposals)
            best = self._ranked(pool)
            if turn < CLIMB_ROUNDS:
                leading = best[:PARENTS_PER_ROUND]
                parents = [self._problem.flat(p.config) for p, value in leading if value > -math.inf]
                fresh = [
                    mutate(self._problem.space, f, rng, int(rng.integers(1, 3)))
                    for f in parents
                    for _ in range(POOL_SIZE // (4 * PARENTS_PER_ROUND))
                ]
                fresh += self._sharing_variants(state, [p for p, _ in leading], parents, rng)
        if not best or best[0][1] == -math.inf:
            return None
        chosen, value = best[0]
        expected = self._log_improvement(state, surrogate, chosen)
        chosen = replace(chosen, expected_improvement=math.exp(expected))
        # candidates are ranked where the quality is warped; a re-evaluation is compared in hypervolume itself
        value += expected - float(log_sum(pool[chosen.key].log_improvements))
        return self._reevaluation(state, surrogate, chosen, value) or chosen

    def _log_improvement(
        self, state: StudyState, surrogate: FittedSurrogate, proposal: Proposal, seed_variance: float = 0.0
    ) -> float:
        encoded = self._problem.encoded(proposal.config)
        assert encoded is not None
        about = (self._problem, state, self._front, surrogate, encoded, proposal.costs, proposal.expected_costs)
        expected = improvement.log_expected_improvement(*about, seed_variance=seed_variance)
        discount = self._barren.log_discounts(state, [proposal.config])[0]
        return expected + proposal.log_feasibility + float(discount)

    def _reevaluation(
        self, state: StudyState, surrogate: FittedSurrogate, best: Proposal, value: float
    ) -> Proposal | None:
        """A recipe to run again, where that is expected to bring more than the best candidate; None where it is not.

        Args:
            state: What happened.
            surrogate: Fitted to it.
            best: The best candidate.
            value: Logarithm of the hypervolume that is expected of it, per epoch.
        """
        due = self._posterior is not None and reevaluation_is_due(state)
        posterior = self._posterior.at(state) if self._posterior is not None and due else None
        if posterior is None or best.expected_improvement is None:
            return None
        again = best_reevaluation(self._problem, state, posterior, self._seed, self._ledger)
        if again is None:
            return None
        lasting = self._log_improvement(state, surrogate, best, posterior.noise.seed_variance)
        lasting -= math.log(max(best.expected_improvement, 1e-300))
        if value + math.log(realized_ratio(self._problem, state)) + lasting >= again.log_acquisition:
            return None
        record = again.record
        return Proposal(
            record.config,
            "reevaluation",
            self._problem.identity(record.config),
            record.costs,
            intervals={n: Interval(*i) for n, i in record.intervals.items()},
            reevaluation_of=record.number,
            seed=again.seed,
        )

    def _judged(
        self, state: StudyState, surrogate: FittedSurrogate, proposals: Mapping[str, Proposal]
    ) -> dict[str, Candidate]:
        """Proposals with their expected improvement; those that cannot be encoded are left out."""
        found = self._problem.encoded_many([p.config for p in proposals.values()])
        rows = {k: e for k, e in zip(proposals, found, strict=True) if e is not None}
        if not rows:
            return {}
        held = [proposals[k] for k in rows]
        parts = improvement.log_ehvi_parts(
            self._problem,
            state,
            self._front,
            surrogate,
            np.array(list(rows.values())),
            [p.costs for p in held],
            [p.expected_costs for p in held],
            cuts=() if self._ledger is None else COST_CUTS,
        )
        parts = parts + np.array([[p.log_feasibility] for p in held])
        parts += self._barren.log_discounts(state, [p.config for p in held])[:, None]
        ledger = None if self._ledger is None else self._ledger.update(state)
        remaining = [() if ledger is None else ledger.remaining(p.config, self._seed, p.key) for p in held]
        return {k: Candidate(p, i, r) for k, p, i, r in zip(rows, held, parts, remaining, strict=True)}

    def _ranked(self, pool: Mapping[str, Candidate]) -> list[tuple[Proposal, float]]:
        """Proposals and the logarithm of their acquisition value, best first."""
        if not pool:
            return []
        parts = np.array([c.log_improvements for c in pool.values()])
        if self._ledger is None:
            values = log_sum(parts)
        else:
            values = log_acquisition(parts, [c.remaining for c in pool.values()], self._ledger.overhead)
        proposals = [c.proposal for c in pool.values()]
        return sorted(zip(proposals, values.tolist(), strict=True), key=lambda pair: -pair[1])

    def _sharing_variants(
        self,
        state: StudyState,
        best: Sequence[Proposal],
        parents: Sequence[Mapping[str, Any]],
        rng: np.random.Generator,
    ) -> list[dict[str, Any]]:
        """Variants of the best candidates that share their dominant phase; of `SHARED_PHASES` such phases."""
        if self._ledger is None or self._variants is None:
            return []
        donors = [*parents, *self._front_parents(state)]
        found: list[dict[str, Any]] = []
        phases: set[tuple[int, str]] = set()
        for proposal in best:
            phase = dominant_phase(self._ledger.phase_costs(proposal.config, proposal.key))
            if phase is None or phase in phases or len(phases) >= SHARED_PHASES:
                continue
            phases.add(phase)
            flat = self._problem.flat(proposal.config)
            found += self._variants.generate(flat, donors, phase, max(VARIANT_SET_SIZES), rng)
        return found

    def _initial_pool(self, state: StudyState, number: int, rng: np.random.Generator) -> list[dict[str, Any]]:
        """A few draws of the sampler, half of the rest quasi-random, half children of the front.

        In a space of many parameters nearly every draw fails for one of them or another, and of failures nothing is
        learned but that they fail; there all are children of the front.
        """
        space = self._problem.space
        pool: list[dict[str, Any] | None] = []
        parents = self._front_parents(state)
        local = bool(parents) and self._is_wide
        # a grid is walked through once: what it would give here could not be asked later
        if not local and number < SAMPLER_UNTIL_TRIAL and not isinstance(self._sampler, GridSampler):
            seen = self._observations.of(state)
            pool += [self._sampler.propose(seen, (self._seed, number, k)) for k in range(SAMPLER_CANDIDATES)]
        spread = POOL_SIZE if not parents else 0 if local else POOL_SIZE // 2
        pool += quasi_random(space, spread, rng)
        for k in range(POOL_SIZE - spread):
            mother, father = (parents[i] for i in rng.integers(len(parents), size=2))
            child = dict(mother) if k % 2 else self._problem.flat(crossover(space, mother, father, rng))
            pool.append(mutate(space, child, rng, int(rng.integers(1, 4))))
        return [c for c in pool if c is not None]

    @property
    def _is_wide(self) -> bool:
        return len(self._problem.space.parameters) > WIDE_SPACE_PARAMETERS

    def _near_front(self, state: StudyState, configs: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Those that differ from a member of the front in at most `MAX_CHANGES` parameters; all in a small space.

        A trust region in the number of changes: the surrogate knows little of what is far from all good trials, and
        expects much of it at a low cost.

        Reference: trust regions for many parameters, Eriksson et al., "Scalable global optimization via local Bayesian
        optimization", 2019, arXiv 1910.01739; over categories by the number of changes, Wan et al., "Think global and
        act local", 2021, arXiv 2102.07188. The radius is fixed here: what is good moves on with the front.
        """
        members = self._front_parents(state) if self._is_wide else []
        if not members:
            return configs
        flats = [self._problem.flat(config) for config in configs]
        near = [min(changed_parameters(flat, member) for member in members) <= MAX_CHANGES for flat in flats]
        return [config for config, stays in zip(configs, near, strict=True) if stays]

    def _front_parents(self, state: StudyState) -> list[Mapping[str, Any]]:
        """Active parameters of the front's members; of a baseline from outside of the space those of the nearest."""
        members = self._front.update(state).members
        return [flat for record in members if (flat := self._observations.flat(record))]


def changed_parameters(one: Mapping[str, Any], other: Mapping[str, Any]) -> int:
    """In how many of the parameters that are active in both two configs differ.

    >>> changed_parameters({"bits": "8", "method": "l1", "method.l1.strength": 3.0}, {"bits": "4", "method": "none"})
    2
    """
    return sum(one[path] != other[path] for path in one.keys() & other.keys())
