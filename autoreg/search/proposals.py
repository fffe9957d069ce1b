"""The next recipe of a study: drawn, checked against what is known before training, and screened."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from autoreg.errors import AutoregError, InputError
from autoreg.search import front, screening
from autoreg.search.problem import Problem
from autoreg.search.records import State
from autoreg.search.samplers import GridSampler, RandomSampler, Sampler, cross, vary
from autoreg.search.seen import Seen

DRAWS = 500
"""Draws after which a proposal gives up, unless the space is small enough to be walked through."""
OWN_DRAWS = 24
"""Draws by the sampler itself; later ones are even draws, which reach every corner."""
PATIENCE = 48
"""Candidates that could not extend the front are passed over this often before one is taken."""
WALK = 20_000
"""Spaces up to this size are walked through when draws find nothing new."""


@dataclass(frozen=True)
class Proposal:
    """A recipe to ask for: who proposed it, its key, its known costs and what is foretold of it."""

    config: dict[str, Any]
    source: str
    key: str
    costs: dict[str, float]
    predicted: dict[str, Any] | None = None


class Proposer:
    """Proposes recipes that are new, allowed, within the constraints and able to extend the front.

    Args:
        problem: The study.
        sampler: Draws candidates.
        seed: The study's seed; the draws for trial `n` are seeded by (seed, n, draw).
        known_cost_filter: Whether candidates are passed over that could not extend the front even with the best
            quality seen.
        learner: Predicts quality for screening; None screens nothing.
        pool: How many candidates a trusted predictor chooses among.
        plain: Share of proposals that a trusted predictor has no say in.
    """

    def __init__(
        self,
        problem: Problem,
        sampler: Sampler,
        seed: int,
        *,
        known_cost_filter: bool = True,
        learner: screening.Learner | None = None,
        pool: int = 32,
        plain: float = 0.2,
    ) -> None:
        self._problem = problem
        self._sampler = sampler
        self._random = RandomSampler(problem.space)
        self._seed = seed
        self._filter = known_cost_filter
        self._learner = learner
        self._pool = pool
        self._plain = plain
        self._keys: dict[int, str] = {}
        self._flats: dict[int, dict[str, Any]] = {}
        self._costs: dict[str, dict[str, float]] = {}
        self.rejected: Counter[str] = Counter()

    def propose(self, state: State, number: int) -> Proposal | None:
        """Return the recipe of trial `number`, or None when the space has no other."""
        taken = self.taken(state)
        seen = self._seen(state)
        self.rejected = Counter()
        learned = None if self._learner is None else self._learner.learned(state)
        found = None
        if (
            learned is not None
            and learned.quality.trusted
            and state.normalizer is not None
            and not self._left_plain(number)
        ):
            found = self._screened(state, number, taken, seen, learned)
        found = found or self._drawn(state, number, taken, seen) or self._walked(number, taken)
        if found is None or learned is None:
            return found
        foretold = screening.prediction(self._problem, learned, found.config)
        return Proposal(found.config, found.source, found.key, found.costs, foretold)

    def taken(self, state: State) -> set[str]:
        """Keys of all recipes that were asked."""
        for record in state.records[len(self._keys) :]:
            self._keys[record.number] = self._problem.identity(record.config)
        return set(self._keys.values())

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
        return Proposal(config, source, key, costs)

    def costs(self, key: str, config: dict[str, Any]) -> dict[str, float]:
        """Known costs of a config, computed once per key."""
        if key not in self._costs:
            if len(self._costs) >= 100_000:
                self._costs.clear()
            self._costs[key] = self._problem.known(config)
        return self._costs[key]

    def require_possible(self) -> None:
        """Look for one recipe that may be asked at all.

        Raises:
            InputError: If none is found; the message says why candidates were refused.
        """
        self.rejected = Counter()
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

    def _seen(self, state: State) -> list[Seen]:
        """Recorded trials as a sampler takes them: in order of their numbers, failed ones left out."""
        out = []
        for r in state.records:
            if r.state == "FAIL":
                continue
            values = self._problem.values(r.metrics) if r.state == "COMPLETE" else None
            scaled = None if values is None else tuple(self._problem.scaled(np.array(values), state)[0].tolist())
            out.append(Seen(r.number, r.state, self._flat(r.number, r.config), scaled, r.violation))
        return out

    def _flat(self, number: int, config: dict[str, Any]) -> Mapping[str, Any]:
        if number not in self._flats:
            self._flats[number] = self._problem.flat(config)
        return self._flats[number]

    def _drawn(self, state: State, number: int, taken: set[str], seen: Sequence[Seen]) -> Proposal | None:
        walks = isinstance(self._sampler, GridSampler)
        spare: Proposal | None = None
        passed = 0
        for k in range(10**9 if walks else DRAWS):
            sampler: Sampler = self._sampler if walks or k < OWN_DRAWS else self._random
            config = sampler.propose(seen, (self._seed, number, k))
            if config is None:
                return spare
            proposal = self.check(config, sampler.name, taken)
            if proposal is None:
                continue
            if walks or not self._filter or screening.could_extend(self._problem, state, proposal.costs):
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

    def _screened(
        self, state: State, number: int, taken: set[str], seen: Sequence[Seen], learned: screening.Learned
    ) -> Proposal | None:
        """Take the candidate of a pool whose expected hypervolume improvement at its known cost is largest."""
        pool: dict[str, Proposal] = {}
        for config in self._candidates(state, number, seen):
            proposal = self.check(config, "screened", taken)
            if proposal is not None and self._problem.encoded(config) is not None:
                pool.setdefault(proposal.key, proposal)
        if not pool:
            return None
        candidates = list(pool.values())
        gains = screening.expected_gains(
            self._problem, state, learned, [c.config for c in candidates], [c.costs for c in candidates]
        )
        return candidates[int(np.argmax(gains))] if gains.max() > 0 else None

    def _candidates(self, state: State, number: int, seen: Sequence[Seen]) -> list[dict[str, Any]]:
        """A quarter from the sampler, a quarter even draws, half children of the front."""
        space, rng = self._problem.space, np.random.default_rng([self._seed, number, 0x5C4EE])
        quarter = max(self._pool // 4, 1)
        drawn = [self._sampler.propose(seen, (self._seed, number, k)) for k in range(quarter)]
        drawn += [space.sample(rng) for _ in range(quarter)]
        counted = self._problem.counted(state)
        values = self._problem.scaled(self._problem.table(counted), state)
        parents = [
            f
            for r, on in zip(counted, front.nondominated(values), strict=True)
            if on and (f := self._flat(r.number, r.config))
        ]
        for k in range(self._pool - 2 * quarter if parents else 0):
            mother, father = (parents[i] for i in rng.integers(len(parents), size=2))
            child = dict(mother) if k % 2 else self._problem.flat(cross(space, mother, father, rng))
            drawn.append(vary(space, child, rng, int(rng.integers(1, 4))))
        return [c for c in drawn if c is not None]
