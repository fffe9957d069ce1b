"""The next recipe of a study: drawn, checked against what is known before training, and screened."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from autoreg.engine.acquisition import improvement
from autoreg.engine.acquisition.attained_front import AttainedFront
from autoreg.engine.acquisition.reevaluation import best_reevaluation, realized_ratio, reevaluation_is_due
from autoreg.engine.acquisition.shared_cost import (
    COST_CUTS,
    VARIANT_SET_SIZES,
    PhaseCostFunction,
    PhaseCosts,
    SharedPrefixVariants,
    SharedWorkLedger,
    dominant_phase,
    log_acquisition,
    memoized,
)
from autoreg.engine.log.prediction import Prediction
from autoreg.engine.log.records import StudyState
from autoreg.engine.pareto.front import Floats
from autoreg.engine.pareto.log_sum import log_sum
from autoreg.engine.problem import Interval, Problem
from autoreg.engine.samplers.base import GridSampler, RandomSampler, Sampler
from autoreg.engine.samplers.history import Observation
from autoreg.engine.samplers.mutation import crossover, mutate, quasi_random
from autoreg.engine.surrogate.fitted import FittedSurrogate
from autoreg.engine.surrogate.fitting import SurrogateFitter
from autoreg.engine.surrogate.noise_model import PosteriorEstimator, mean_qualities
from autoreg.engine.surrogate.threads import one_thread
from autoreg.errors import AutoregError, InputError

DRAWS = 500
"""Draws after which a proposal gives up, unless the space is small enough to be walked through."""
OWN_DRAWS = 24
"""Draws by the sampler itself; later ones are even draws, which reach every corner."""
PATIENCE = 48
"""Candidates that could not extend the front are passed over this often before one is taken."""
OWN_IN_POOL = 2
OWN_UNTIL = 150
"""Draws by the sampler itself among the candidates of a trusted predictor, and the trial after which there are none:
TPE's time grows with the trials, to 0.1 s a draw at 1,000."""
ROUNDS = 3
KEEP = 8
"""How often, and how many of, the best candidates are varied to find better ones."""
SHARED = 2
"""Of so many of the best candidates, with different work to share, variants are made that share it."""
WALK = 20_000
"""Spaces up to this size are walked through when draws find nothing new."""


@dataclass(frozen=True)
class Proposal:
    """A recipe to ask for: who proposed it, its key, its known costs and what is foretold of it.

    One that was run before names its first trial in `reevaluation_of`, and a `seed` of its own. `gain` is the
    hypervolume that it was chosen for.
    """

    config: dict[str, Any]
    source: str
    key: str
    costs: dict[str, float]
    prediction: Prediction | None = None
    intervals: Mapping[str, Interval] = field(default_factory=dict)
    reevaluation_of: int | None = None
    seed: int | None = None
    gain: float | None = None

    @property
    def expected(self) -> dict[str, float]:
        """Known costs, with the middle of those that are known with an error."""
        return {**self.costs, **{n: i.middle for n, i in self.intervals.items()}}


class Candidate(NamedTuple):
    """What a recipe would be worth: logarithm of its expected improvement, in parts [j], and what is unpaid of it."""

    proposal: Proposal
    gains: Floats
    remaining: PhaseCosts


class Proposer:
    """Proposes recipes that are new, allowed, within the constraints and able to extend the front.

    Args:
        problem: The study.
        sampler: Draws candidates.
        seed: The study's seed; the draws for trial `n` are seeded by (seed, n, draw).
        known_cost_filter: Whether candidates are passed over that could not extend the front even with the best
            quality seen.
        learner: Predicts quality for screening; None screens nothing.
        pool: How many candidates a trusted predictor chooses among at first; the best are varied `ROUNDS` times.
        plain: Share of proposals that a trusted predictor has no say in: even draws, as an audit.
        price: The bill of a config; the improvement sought is that per epoch still to be paid, see
            `autoreg.engine.acquisition.shared_cost`. None: all cost alike.
        counted: Whether trials are what is limited, and not epochs or minutes.
        believer: What is believed of recipes over seeds; the front to be extended is made of what was observed.
        replicate: Whether recipes may be run again, see `autoreg.engine.acquisition.reevaluation`; needs a believer.
    """

    def __init__(
        self,
        problem: Problem,
        sampler: Sampler,
        seed: int,
        *,
        known_cost_filter: bool = True,
        learner: SurrogateFitter | None = None,
        pool: int = 128,
        plain: float = 0.1,
        price: PhaseCostFunction | None = None,
        counted: bool = False,
        believer: PosteriorEstimator | None = None,
        replicate: bool = False,
    ) -> None:
        self._problem = problem
        self._sampler = sampler
        self._random = RandomSampler(problem.space)
        self._seed = seed
        self._filter = known_cost_filter
        self._learner = learner
        self._pool = pool
        self._plain = plain
        price = None if price is None else memoized(price)
        self.ledger = None if price is None else SharedWorkLedger(price, counted=counted)
        self._siblings = None if price is None else SharedPrefixVariants(problem.space, price)
        self._believer, self._replicate = believer, replicate
        self._frontier = AttainedFront(problem, lambda state: mean_qualities(state, problem.quality))
        self._taken: set[str] = set()
        self._heard = 0
        self._flats: dict[int, dict[str, Any]] = {}
        self._costs: dict[str, dict[str, float]] = {}
        self._intervals: dict[str, dict[str, Interval]] = {}
        self.rejected: Counter[str] = Counter()

    def propose(self, state: StudyState, number: int) -> Proposal | None:
        """Return the recipe of trial `number`, or None when the space has no other."""
        taken = self.taken(state)
        self.rejected = Counter()
        learned = None if self._learner is None else self._learner.fit(state)
        found = None
        if learned is not None and learned.trusted and state.normalizer is not None:
            if self._left_plain(number):
                found = self._drawn(state, number, taken, plain=True)
            else:
                with one_thread():
                    found = self._screened(state, number, taken, learned)
        found = found or self._drawn(state, number, taken) or self._walked(number, taken)
        if found is None or found.reevaluation_of is not None or learned is None or self._learner is None:
            return found
        with one_thread():
            prediction = self._learner.predict(learned, found.config, found.costs)
        if prediction is not None and found.gain is not None:
            prediction = replace(prediction, expected_improvement=round(found.gain, 8))
        return replace(found, prediction=prediction)

    def taken(self, state: StudyState) -> set[str]:
        """Keys of all recipes that were asked."""
        for record in state.records[self._heard :]:
            self._taken.add(self._problem.identity(record.config))
        self._heard = len(state.records)
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
            costs = self.costs(key, config)
        except AutoregError as error:
            self.rejected[str(error)] += 1
            return None
        broken = self._problem.violated(costs)
        if broken:
            self.rejected.update(f"constraint {text!r} broken at known cost" for text in broken)
            return None
        return Proposal(config, source, key, costs, intervals=self._intervals.get(key, {}))

    def starter(self, config: dict[str, Any], source: str, key: str) -> Proposal:
        """The proposal of a config that is asked whatever its costs are."""
        return Proposal(config, source, key, self.costs(key, config), intervals=self._intervals.get(key, {}))

    def costs(self, key: str, config: dict[str, Any]) -> dict[str, float]:
        """Known costs of a config, computed once per key."""
        if key not in self._costs:
            if len(self._costs) >= 100_000:
                self._costs.clear()
                self._intervals.clear()
            self._costs[key], doubtful = self._problem.known_costs_and_intervals(config)
            if doubtful:
                self._intervals[key] = doubtful
        return self._costs[key]

    def require_possible(self, given: Sequence[dict[str, Any]] = ()) -> None:
        """Look for one recipe that may be asked at all: among those `given`, then among even draws.

        Raises:
            InputError: If none is found; the message says why candidates were refused.
        """
        self.rejected = Counter()
        if any(self.check(config, "", set()) is not None for config in given):
            return
        for k in range(DRAWS):
            config = self._random.propose((), (self._seed, 0, k))
            if config is not None and self.check(config, "", set()) is not None:
                return
        if self._walked(0, set()) is None:
            why = "; ".join(f"{count} times: {reason}" for reason, count in self.rejected.most_common(3))
            raise InputError(
                f"no recipe of the space can be tried: none of {sum(self.rejected.values()):,} candidates may be "
                f"asked ({why}). Loosen the constraints or widen the space."
            )

    def _left_plain(self, number: int) -> bool:
        return bool(np.random.default_rng([self._seed, number, 0x91A1]).random() < self._plain)

    def _seen(self, state: StudyState) -> list[Observation]:
        """Recorded trials as a sampler takes them: in order of their numbers, failed ones and further runs left out."""
        held = [r for r in state.records if r.state != "FAIL" and r.reevaluation_of is None]
        valued = [r for r in held if r.state == "COMPLETE" and self._problem.values(r.metrics) is not None]
        rows = self._problem.scaled(self._problem.table(valued), state).tolist()
        scaled = {r.number: tuple(row) for r, row in zip(valued, rows, strict=True)}
        return [
            Observation(r.number, r.state, self._flat(r.number, r.config), scaled.get(r.number), r.violation)
            for r in held
            if r.state != "FAIL"
        ]

    def _flat(self, number: int, config: dict[str, Any]) -> Mapping[str, Any]:
        if number not in self._flats:
            self._flats[number] = self._problem.flat(config)
        return self._flats[number]

    def _drawn(self, state: StudyState, number: int, taken: set[str], *, plain: bool = False) -> Proposal | None:
        walks = isinstance(self._sampler, GridSampler)
        seen = [] if walks or plain else self._seen(state)
        spare: Proposal | None = None
        passed = 0
        for k in range(10**9 if walks else DRAWS):
            sampler: Sampler = self._sampler if walks or (k < OWN_DRAWS and not plain) else self._random
            config = sampler.propose(seen, (self._seed, number, k))
            if config is None:
                return spare
            proposal = self.check(config, sampler.name, taken)
            if proposal is None:
                continue
            if walks or not self._filter or self._frontier.could_extend(state, [proposal.costs])[0]:
                return proposal
            spare, passed = spare or proposal, passed + 1
            if passed >= PATIENCE:
                return spare
        return spare

    def _walked(self, number: int, taken: set[str]) -> Proposal | None:
        """Take any acceptable recipe of a small space, at random."""
        count = self._problem.space.size().count
        if not math.isfinite(count) or count > WALK:
            return None
        configs = list(self._problem.space.enumerate(WALK))
        for k in np.random.default_rng([self._seed, number]).permutation(len(configs)):
            proposal = self.check(configs[k], "walk", taken)
            if proposal is not None:
                return proposal
        return None

    def _screened(self, state: StudyState, number: int, taken: set[str], learned: FittedSurrogate) -> Proposal | None:
        """Take the candidate of largest expected hypervolume improvement at its known cost, by `log_worth` if priced.

        The best of the pool are varied and judged again, `ROUNDS` times: a climb along the acquisition.
        """
        rng = np.random.default_rng([self._seed, number, 0x5C4EE])
        pool: dict[str, Candidate] = {}
        fresh = self._first(state, number, rng)
        for turn in range(ROUNDS + 1):
            proposals = [p for c in fresh if (p := self.check(c, "screened", taken)) and p.key not in pool]
            pool |= self._judged(state, learned, {p.key: p for p in proposals})
            best = self._ranked(pool)
            if turn < ROUNDS:
                parents = [self._problem.flat(p.config) for p, worth in best[:KEEP] if worth > -math.inf]
                fresh = [
                    mutate(self._problem.space, f, rng, int(rng.integers(1, 3)))
                    for f in parents
                    for _ in range(self._pool // (4 * KEEP))
                ]
                fresh += self._variants(state, [p for p, _ in best[:KEEP]], parents, rng)
        if not best or best[0][1] == -math.inf:
            return None
        promised = self._promise(state, learned, best[0][0])
        chosen = replace(best[0][0], gain=math.exp(promised))
        return (
            self._again(state, learned, chosen, best[0][1] + promised - float(log_sum(pool[chosen.key].gains)))
            or chosen
        )

    def _promise(
        self, state: StudyState, learned: FittedSurrogate, proposal: Proposal, seed_variance: float = 0.0
    ) -> float:
        encoded = self._problem.encoded(proposal.config)
        assert encoded is not None
        about = (self._problem, state, self._frontier, learned, encoded, proposal.costs, proposal.expected)
        return improvement.log_expected_improvement(*about, seed_variance=seed_variance)

    def _again(self, state: StudyState, learned: FittedSurrogate, best: Proposal, worth: float) -> Proposal | None:
        """A recipe to run again, where that is worth more than the best candidate; None where it is not.

        Args:
            best: The best candidate.
            worth: Logarithm of the hypervolume that is expected of it, per epoch.
        """
        belief = self._believer.at(state) if self._believer and self._replicate and reevaluation_is_due(state) else None
        if belief is None or best.gain is None:
            return None
        replica = best_reevaluation(self._problem, state, belief, self._seed, self.ledger)
        if replica is None:
            return None
        lasting = self._promise(state, learned, best, belief.noise.seed_variance) - math.log(max(best.gain, 1e-300))
        if worth + math.log(realized_ratio(self._problem, state)) + lasting >= replica.log_acquisition:
            return None
        record = replica.record
        intervals = {n: Interval(*i) for n, i in record.intervals.items()}
        config, key = record.config, self._problem.identity(record.config)
        return Proposal(config, "reevaluation", key, record.costs, None, intervals, record.number, replica.seed)

    def _judged(
        self, state: StudyState, learned: FittedSurrogate, proposals: Mapping[str, Proposal]
    ) -> dict[str, Candidate]:
        """Proposals with their expected improvement; those that cannot be encoded are left out."""
        found = self._problem.encoded_many([p.config for p in proposals.values()])
        rows = {k: e for k, e in zip(proposals, found, strict=True) if e is not None}
        if not rows:
            return {}
        held = [proposals[k] for k in rows]
        gains = improvement.log_ehvi_parts(
            self._problem,
            state,
            self._frontier,
            learned,
            np.array(list(rows.values())),
            [p.costs for p in held],
            [p.expected for p in held],
            cuts=() if self.ledger is None else COST_CUTS,
        )
        ledger = None if self.ledger is None else self.ledger.update(state)
        remaining = [() if ledger is None else ledger.remaining(p.config, self._seed, p.key) for p in held]
        return {k: Candidate(p, g, u) for k, p, g, u in zip(rows, held, gains, remaining, strict=True)}

    def _ranked(self, pool: Mapping[str, Candidate]) -> list[tuple[Proposal, float]]:
        """Proposals and the logarithm of what they are worth, best first."""
        if not pool:
            return []
        gains = np.array([c.gains for c in pool.values()])
        if self.ledger is None:
            worth = log_sum(gains)
        else:
            worth = log_acquisition(gains, [c.remaining for c in pool.values()], self.ledger.overhead)
        held = [c.proposal for c in pool.values()]
        return sorted(zip(held, worth.tolist(), strict=True), key=lambda pair: -pair[1])

    def _variants(
        self,
        state: StudyState,
        best: Sequence[Proposal],
        parents: Sequence[Mapping[str, Any]],
        rng: np.random.Generator,
    ) -> list[dict[str, Any]]:
        """Variants of the best candidates that share their costliest phase; of `SHARED` such phases."""
        if self.ledger is None or self._siblings is None:
            return []
        donors = [*parents, *(f for r in self._frontier.update(state).members if (f := self._flat(r.number, r.config)))]
        found: list[dict[str, Any]] = []
        phases: set[tuple[int, str]] = set()
        for proposal in best:
            phase = dominant_phase(self.ledger.phase_costs(proposal.config, proposal.key))
            if phase is None or phase in phases or len(phases) >= SHARED:
                continue
            phases.add(phase)
            found += self._siblings.of(self._problem.flat(proposal.config), donors, phase, max(VARIANT_SET_SIZES), rng)
        return found

    def _first(self, state: StudyState, number: int, rng: np.random.Generator) -> list[dict[str, Any]]:
        """A few of the sampler's own, half quasi-random, half children of the front."""
        space = self._problem.space
        drawn: list[dict[str, Any] | None] = []
        if number < OWN_UNTIL:
            seen = self._seen(state)
            drawn += [self._sampler.propose(seen, (self._seed, number, k)) for k in range(OWN_IN_POOL)]
        parents = [f for r in self._frontier.update(state).members if (f := self._flat(r.number, r.config))]
        drawn += quasi_random(space, self._pool // 2 if parents else self._pool, rng)
        for k in range(self._pool // 2 if parents else 0):
            mother, father = (parents[i] for i in rng.integers(len(parents), size=2))
            child = dict(mother) if k % 2 else self._problem.flat(crossover(space, mother, father, rng))
            drawn.append(mutate(space, child, rng, int(rng.integers(1, 4))))
        return [c for c in drawn if c is not None]
