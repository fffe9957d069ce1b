"""What a trial still costs where trials share work, and which candidate has the highest acquisition per cost.

The phase costs of a config name its phases in order of work, each by the content of all up to it: configs with the same
beginning have the same keys, and what one trial has run is free for the others. So a training that nobody has run yet
is not judged by one candidate alone, but by all that it makes cheap: several variants that share it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from autoreg.engine.log.records import Record, StudyState
from autoreg.engine.pareto.front import Floats
from autoreg.engine.pareto.log_sum import log_sum
from autoreg.memo import memoized

PhaseCosts = Sequence[tuple[str, float]]
"""Key and epochs of each phase of a trial, in order of work; a key stands for everything up to its phase."""
PhaseCost = tuple[str, float] | tuple[str, float, int]
"""Key and epochs of a phase; with a third entry, work of another chain that comes first, and the seed it has whatever
the trial's is: the training of a teacher."""
PhaseCostFunction = Callable[[dict[str, Any]], Sequence[PhaseCost]]

VARIANT_SET_SIZES = (1, 4, 16)
"""Sizes of the sets of variants by which a shared beginning is judged."""
COST_CUTS = tuple(k / 16 for k in range(1, 17))
"""Where the first cost, as it lies in the unit cube, is cut to tell improvements at different costs apart."""
TRIAL_OVERHEAD = 0.5
"""Epochs' worth of work that every trial costs, shared phases or not."""
MEAN_COST_WINDOW = 200
"""Latest trials over which the mean cost of a trial is taken."""
MAX_CACHED_COSTS = 100_000
"""Phase costs that are held by identity before the cache is emptied."""


class SharedWorkLedger:
    """Which work has been done, as replayed from the trials that ended; the same at once or one by one.

    A complete trial has done all its phases. What another has done is known where its info says so: by
    `phase_fractions`, in the order of its phases.

    Args:
        phase_costs: The phase costs of a config. They depend on the config alone; what of them is done is kept here.
        trials_limited: Whether trials are what is limited, and not epochs or minutes. Then each costs the mean of all
            trials too, so that one that is free of training is preferred at most about twice as much as another.
    """

    def __init__(self, phase_costs: PhaseCostFunction, *, trials_limited: bool = False) -> None:
        self._function = memoized(phase_costs)
        self._trials_limited = trials_limited
        self._trial_costs: list[float] = []
        self._read = 0
        self._done: dict[tuple[int, str], float] = {}
        self._cached: dict[str, Sequence[PhaseCost]] = {}

    def update(self, state: StudyState) -> SharedWorkLedger:
        """Bring it up to date with a state; call it before anything is read."""
        for record in state.ended()[self._read :]:
            costs = self._function(record.config)
            if self._trials_limited:
                self._trial_costs.append(sum(cost[1] for cost in costs))
            for cost, share in zip(costs, _finished(record), strict=False):
                at = (_seed_of(cost, record.seed), cost[0])
                self._done[at] = max(self._done.get(at, 0.0), share)
        self._read = len(state.ended_numbers)
        return self

    @property
    def overhead(self) -> float:
        """Epochs' worth that a trial costs beside its phases."""
        latest = self._trial_costs[-MEAN_COST_WINDOW:]
        return TRIAL_OVERHEAD + (sum(latest) / len(latest) if latest else 0.0)

    def remaining(self, config: dict[str, Any], seed: int, identity: str = "") -> PhaseCosts:
        """The remaining costs of a config's phases; all before a finished phase is free.

        A teacher's training is free too where anybody has done it, which says nothing of what stands before it.

        Args:
            config: A config.
            seed: The seed it would run with: work is shared within one seed only.
            identity: Key under which the phase costs are cached; "" caches none.
        """
        left: list[tuple[str, float]] = []
        done = 0.0
        for cost in reversed(self.phase_costs(config, identity)):
            at = _seed_of(cost, seed), cost[0]
            share = max(done, self._done.get(at, 0.0))
            done = done if len(cost) == 3 else share
            key = cost[0] if at[0] == seed else f"{cost[0]} of seed {at[0]}"
            left.append((key, max(float(cost[1]), 0.0) * (1 - share)))
        once: dict[str, float] = {}
        for key, epochs in left[::-1]:  # a teacher may be the very network that a recipe starts from
            once.setdefault(key, epochs)
        return list(once.items())

    def phase_costs(self, config: dict[str, Any], identity: str = "") -> Sequence[PhaseCost]:
        """The phase costs of a config as if nothing had been done; arguments as of `remaining`."""
        costs = self._cached.get(identity) if identity else None
        if costs is None:
            costs = tuple(self._function(config))
            if identity:
                self._cached.clear() if len(self._cached) >= MAX_CACHED_COSTS else None
                self._cached[identity] = costs
        return costs


def _seed_of(cost: PhaseCost, seed: int) -> int:
    """The seed of a phase, of a trial with this one."""
    return cost[2] if len(cost) == 3 else seed


def _finished(record: Record) -> Iterable[float]:
    """Share of the work of each phase that a trial has done, in the order of its phases; may end early."""
    if record.state == "COMPLETE":
        return itertools.repeat(1.0)
    return [min(max(fraction, 0.0), 1.0) for fraction in record.info.phase_fractions]


def evaluation_cost(remaining: PhaseCosts, overhead: float = TRIAL_OVERHEAD) -> float:
    """Epochs' worth of one trial: what remains of its phases, and the overhead."""
    return sum(epochs for _, epochs in remaining) + overhead


def log_acquisition(
    log_improvements: Floats, remaining: Sequence[PhaseCosts], overhead: float = TRIAL_OVERHEAD
) -> Floats:
    """Logarithm [n] of the acquisition value of candidates: joint improvement per epoch of their best set of variants.

    Sets are formed among the candidates that share a phase of which something remains: the best 1, 4 and 16 of them,
    each next one adding most. A set costs its remaining phases once, and the overhead of each variant. A set's best
    candidate, by improvement per epoch of its own, has the value of the set; the others less, in proportion. So the
    best candidate of the best set comes first, and where nothing that remains is shared, the value is improvement per
    epoch.

    The joint improvement of a set is, summed over parts of cost space, that of its best variant there, which is a lower
    bound of the expected joint improvement. It is near where variants share the noise of their seed, as they do (a bad
    training is bad for all): with equal spreads and parts small enough it is exact. The sum of the improvements would
    be an upper bound, and pay for sixteen variants of which all but one are superfluous.

    Args:
        log_improvements: Logarithms of the candidates' expected improvements in parts, [n, j], as from
            `NondominatedPartitioning.log_ehvi_parts`.
        remaining: Their remaining phase costs [n].
        overhead: Epochs' worth that each costs beside them.

    Reference: a memoized prefix is free, Lin et al., "EEIPU", 2024, arXiv 2411.03731 (there each candidate is divided
    by its own remaining cost; sets are ours).
    """
    alone = log_sum(log_improvements)
    values = alone - np.log([evaluation_cost(costs, overhead) for costs in remaining])
    top = float(alone.max(initial=-math.inf))
    if not math.isfinite(top):
        return np.asarray(values)
    improvements = np.exp(log_improvements - top)
    for group in _sharing(remaining):
        rates = _by_sets(improvements[group.members], [remaining[i] for i in group.members], group.phase, overhead)
        with np.errstate(divide="ignore"):
            values[group.members] = np.maximum(values[group.members], np.log(rates) + top)
    return np.asarray(values)


class _Group:
    """Candidates that share the phases up to `phase`, of which something remains."""

    def __init__(self, phase: int) -> None:
        self.phase = phase
        self.members: list[int] = []


def _sharing(remaining: Sequence[PhaseCosts]) -> list[_Group]:
    found: dict[str, _Group] = {}
    for i, costs in enumerate(remaining):
        before = 0.0
        for phase, (key, epochs) in enumerate(costs):
            before += epochs
            if before <= 0:
                continue
            if key not in found:
                found[key] = _Group(phase)
            found[key].members.append(i)
    return [group for group in found.values() if len(group.members) > 1]


def _by_sets(improvements: Floats, remaining: Sequence[PhaseCosts], phase: int, overhead: float) -> Floats:
    """Acquisition value [n] of the candidates of one group, from improvements [n, j]."""
    own = np.array([sum(e for _, e in costs[phase + 1 :]) + overhead for costs in remaining])
    improvement_per_epoch = improvements.sum(axis=1) / own
    out = np.zeros(len(improvements))
    covered, chosen, remaining_cost = np.zeros(improvements.shape[1]), list[int](), dict[str, float]()
    left = np.ones(len(improvements), dtype=bool)
    for size in range(1, min(max(VARIANT_SET_SIZES), len(improvements)) + 1):
        added = np.where(left, np.maximum(improvements - covered, 0.0).sum(axis=1), -1.0)
        best = int(added.argmax())
        covered = np.maximum(covered, improvements[best])
        left[best] = False
        chosen.append(best)
        remaining_cost.update(remaining[best])
        if size in VARIANT_SET_SIZES or size == len(improvements):
            rate = float(covered.sum()) / (sum(remaining_cost.values()) + overhead * size)
            most = max(improvement_per_epoch[chosen])
            if most > 0:
                out[chosen] = np.maximum(out[chosen], rate * improvement_per_epoch[chosen] / most)
    return out


def dominant_phase(costs: Sequence[PhaseCost]) -> tuple[int, str] | None:
    """Place and key of the phase that costs most, teachers apart; the first of equals. None where nothing costs."""
    own = [k for k, cost in enumerate(costs) if len(cost) == 2]
    place = max(own, key=lambda k: costs[k][1], default=None)
    return None if place is None or costs[place][1] <= 0 else (place, costs[place][0])
