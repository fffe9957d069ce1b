"""What trials still cost, where trials share work, and which candidate is worth its price.

A trial's bill names its phases in order of work, each by the content of all up to it: trials with the same
beginning have the same keys, and what one of them has paid is free for the others. So a training that nobody has
paid for is not judged by one candidate alone, but by what it opens: several variants that share it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from autoreg.engine.log.records import Record, StudyState
from autoreg.engine.pareto.front import Floats
from autoreg.engine.pareto.log_sum import log_sum

PhaseCosts = Sequence[tuple[str, float]]
"""Key and epochs of each phase of a trial, in order of work; a key stands for everything up to its phase."""
PhaseCostFunction = Callable[[dict[str, Any]], PhaseCosts]

VARIANT_SET_SIZES = (1, 4, 16)
"""Sizes of the sets of variants by which a shared beginning is judged."""
COST_CUTS = tuple(k / 16 for k in range(1, 17))
"""Gains are told apart along the first cost, as it lies in the unit cube, at these places."""
TRIAL_OVERHEAD = 0.5
"""Epochs' worth of work that every trial costs, shared phases or not."""
MEAN_COST_WINDOW = 200
"""Latest trials over which the mean bill is taken."""
DONOR_PROBABILITY = 0.8
"""How often a variant takes what it does not share from another config, and each parameter of that; else drawn."""
MAX_CACHED_COSTS = 100_000
"""Bills that are kept before they are made anew."""


class SharedWorkLedger:
    """What has been paid: a fold over the trials that ended.

    A complete trial has paid its whole bill. What another has paid is known where its info says so: by
    `phase_fractions`, in the order of the bill.

    Args:
        price: The bill of a config. It depends on the config alone; what of it is paid is kept here.
        counted: Whether trials are what is limited, and not epochs or minutes. Then each costs the mean of all bills
            too, so that one that is free of training is worth at most about twice another.
    """

    def __init__(self, price: PhaseCostFunction, *, counted: bool = False) -> None:
        self._price = price
        self._counted = counted
        self._bill: list[float] = []
        self._heard = 0
        self._paid: dict[tuple[int, str], float] = {}
        self._bills: dict[str, PhaseCosts] = {}

    def update(self, state: StudyState) -> SharedWorkLedger:
        """Bring it up to date with a state."""
        for record in state.ended()[self._heard :]:
            if self._counted:
                self._bill.append(sum(epochs for _, epochs in self._price(record.config)))
            for (key, _), share in zip(self._price(record.config), _finished(record), strict=False):
                at = (record.seed, key)
                self._paid[at] = max(self._paid.get(at, 0.0), share)
        self._heard = len(state.ended_numbers)
        return self

    @property
    def overhead(self) -> float:
        """Epochs' worth that a trial costs beside its bill."""
        latest = self._bill[-MEAN_COST_WINDOW:]
        return TRIAL_OVERHEAD + (sum(latest) / len(latest) if latest else 0.0)

    def remaining(self, config: dict[str, Any], seed: int, identity: str = "") -> PhaseCosts:
        """The bill of a config with what is still to be paid of each phase; all before a finished phase is free.

        Args:
            config: A config.
            seed: The seed it would run with: work is shared within one seed only.
            identity: Key under which the bill is kept; "" keeps none.
        """
        left: list[tuple[str, float]] = []
        free = 0.0
        for key, epochs in reversed(self.phase_costs(config, identity)):
            free = max(free, self._paid.get((seed, key), 0.0))
            left.append((key, max(float(epochs), 0.0) * (1 - free)))
        return left[::-1]

    def phase_costs(self, config: dict[str, Any], identity: str = "") -> PhaseCosts:
        """The bill of a config as if nothing had been paid; arguments as of `unpaid`."""
        phase_costs = self._bills.get(identity) if identity else None
        if phase_costs is None:
            phase_costs = tuple(self._price(config))
            if identity:
                self._bills.clear() if len(self._bills) >= MAX_CACHED_COSTS else None
                self._bills[identity] = phase_costs
        return phase_costs


def _finished(record: Record) -> Iterable[float]:
    """Share of the work of each phase that a trial has done, in the order of its bill; may end early."""
    if record.state == "COMPLETE":
        return itertools.repeat(1.0)
    return [min(max(fraction, 0.0), 1.0) for fraction in record.info.phase_fractions]


def memoized(price: PhaseCostFunction, most: int = 4096) -> PhaseCostFunction:
    """The same price, worked out once for each config that is around; configs must not be changed."""
    held: dict[int, tuple[dict[str, Any], PhaseCosts]] = {}

    def found(config: dict[str, Any]) -> PhaseCosts:
        cached = held.get(id(config))
        if cached is None or cached[0] is not config:
            if len(held) >= most:
                held.clear()
            cached = held[id(config)] = config, tuple(price(config))
        return cached[1]

    return found


def total_cost(remaining: PhaseCosts, overhead: float = TRIAL_OVERHEAD) -> float:
    """Epochs' worth of one trial: what is unpaid and the overhead."""
    return sum(epochs for _, epochs in remaining) + overhead


def log_acquisition(log_gains: Floats, remaining: Sequence[PhaseCosts], overhead: float = TRIAL_OVERHEAD) -> Floats:
    """Logarithm [n] of what candidates are worth: joint gain per epoch of the best set of variants each belongs to.

    Sets are formed among the candidates that share an unpaid phase: the best 1, 4 and 16 of them, each next one
    adding most. A set costs its unpaid phases once, and the overhead of each variant. A set's best candidate, by gain
    per epoch of its own, has the worth of the set; the others less, in proportion. So the best candidate of the best
    set comes first, and where nothing unpaid is shared, worth is gain per epoch.

    The joint gain of a set is, summed over parts of cost space, that of its best variant there, which is a lower bound
    of the expected joint improvement. It is near where variants share their luck, as they do (a bad training is bad
    for all): with equal spreads and parts small enough it is exact. The sum of the gains would be an upper bound, and
    pay for sixteen variants of which all but one are superfluous.

    Args:
        log_gains: Logarithms of the candidates' gains in parts, [n, j], as from
            `NondominatedPartitioning.log_ehvi_parts`.
        unpaid: Their bills, with what is still to be paid.
        overhead: Epochs' worth that each costs beside it.

    Reference: a memoized prefix is free, Lin et al., "EEIPU", 2024, arXiv 2411.03731 (there each candidate is divided
    by its own remaining cost; sets are ours).
    """
    alone = log_sum(log_gains)
    worth = alone - np.log([total_cost(phase_costs, overhead) for phase_costs in remaining])
    top = float(alone.max(initial=-math.inf))
    if not math.isfinite(top):
        return np.asarray(worth)
    gains = np.exp(log_gains - top)
    for group in _sharing(remaining):
        rates = _by_sets(gains[group.members], [remaining[i] for i in group.members], group.phase, overhead)
        with np.errstate(divide="ignore"):
            worth[group.members] = np.maximum(worth[group.members], np.log(rates) + top)
    return np.asarray(worth)


class _Group:
    """Candidates that share the phases up to `phase`, of which something is unpaid."""

    def __init__(self, phase: int) -> None:
        self.phase = phase
        self.members: list[int] = []


def _sharing(remaining: Sequence[PhaseCosts]) -> list[_Group]:
    found: dict[str, _Group] = {}
    for i, phase_costs in enumerate(remaining):
        before = 0.0
        for phase, (key, epochs) in enumerate(phase_costs):
            before += epochs
            if before <= 0:
                continue
            if key not in found:
                found[key] = _Group(phase)
            found[key].members.append(i)
    return [group for group in found.values() if len(group.members) > 1]


def _by_sets(gains: Floats, costs_by_candidate: Sequence[PhaseCosts], phase: int, overhead: float) -> Floats:
    """Worth [n] of the candidates of one group, from gains [n, j]."""
    own = np.array([sum(e for _, e in phase_costs[phase + 1 :]) + overhead for phase_costs in costs_by_candidate])
    yields = gains.sum(axis=1) / own
    out = np.zeros(len(gains))
    reached, chosen, added_phases = np.zeros(gains.shape[1]), list[int](), dict[str, float]()
    left = np.ones(len(gains), dtype=bool)
    for size in range(1, min(max(VARIANT_SET_SIZES), len(gains)) + 1):
        added = np.where(left, np.maximum(gains - reached, 0.0).sum(axis=1), -1.0)
        best = int(added.argmax())
        reached = np.maximum(reached, gains[best])
        left[best] = False
        chosen.append(best)
        added_phases.update(costs_by_candidate[best])
        if size in VARIANT_SET_SIZES or size == len(gains):
            rate = float(reached.sum()) / (sum(added_phases.values()) + overhead * size)
            most = max(yields[chosen])
            if most > 0:
                out[chosen] = np.maximum(out[chosen], rate * yields[chosen] / most)
    return out


def dominant_phase(phase_costs: PhaseCosts) -> tuple[int, str] | None:
    """Place and key of the phase that takes most; the first of equals. None where nothing takes anything."""
    place = max(range(len(phase_costs)), key=lambda k: phase_costs[k][1], default=None)
    return None if place is None or phase_costs[place][1] <= 0 else (place, phase_costs[place][0])


class SharedPrefixVariants:
    """Makes variants of a config that share its work up to one phase.

    Which parameters decide the work up to a phase is found by changing one at a time and asking for the bill.
    """

    def __init__(self, space: Any, price: PhaseCostFunction) -> None:
        self._space, self._price = space, price
        self._domains = {p.path: p.domain for p in space.parameters}
        self._decides: dict[tuple[int, str], bool] = {}

    def of(
        self,
        flat: Mapping[str, Any],
        donors: Sequence[Mapping[str, Any]],
        phase: tuple[int, str],
        count: int,
        rng: np.random.Generator,
    ) -> list[dict[str, Any]]:
        """Up to `count` configs with the key of `phase`: what decides it as in `flat`, the rest of a donor, or drawn.

        Args:
            flat: Active parameters of the config by path.
            donors: The same of others; each variant takes most of the rest from one of them.
            phase: Place in the bill, and key.
            count: How many to try; those that come out with another key are left out.
            rng: Draws donors and values.
        """
        from autoreg.engine.samplers.mutation import uniform

        fixed = {path for path in flat if self._fixes(flat, path, phase)}
        found: list[dict[str, Any]] = []
        for _ in range(count):
            rest = donors[int(rng.integers(len(donors)))] if donors and rng.random() < DONOR_PROBABILITY else {}

            def choose(path: str, domain: Any, rest: Mapping[str, Any] = rest) -> Any:
                if path in fixed:
                    return flat[path]
                return rest[path] if path in rest and rng.random() < DONOR_PROBABILITY else uniform(domain, rng)

            config = self._space.build(choose)
            if any(key == phase[1] for key, _ in self._price(config)):
                found.append(config)
        return found

    def _fixes(self, flat: Mapping[str, Any], path: str, phase: tuple[int, str]) -> bool:
        """Whether a parameter decides the work up to a phase; tried with three values of its own."""
        at = (phase[0], path)
        if at not in self._decides:
            self._decides[at] = path in self._domains and self._moves(flat, path, phase[1])
        return self._decides[at]

    def _moves(self, flat: Mapping[str, Any], path: str, key: str) -> bool:
        from autoreg.engine.samplers.mutation import uniform

        rng = np.random.default_rng(len(self._decides))

        def choose(other: str, domain: Any) -> Any:
            return flat[other] if other in flat and other != path else uniform(domain, rng)

        tried = [self._space.build(choose) for _ in range(3)]
        costs_by_candidate = [
            phase_costs for config in tried if (phase_costs := self._price(config))
        ]  # a table has none of what it does not hold
        return any(all(k != key for k, _ in phase_costs) for phase_costs in costs_by_candidate)
