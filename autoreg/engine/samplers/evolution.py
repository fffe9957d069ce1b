"""Steady-state evolution over several objectives: one child at a time, of the front and of what lies just behind it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from autoreg.engine.pareto import front
from autoreg.engine.samplers.history import Config, Domain, Observation, Value
from autoreg.engine.samplers.mutation import crossover, crowding_distance, uniform
from autoreg.space import ranges
from autoreg.space.nodes import Range

if TYPE_CHECKING:
    from autoreg.space import Space

RANDOM_TRIALS = 10
"""Complete trials before there are children."""
MAX_YOUNG_PARENTS = 10
"""So many of the latest trials off the front may be parents too; older ones have aged out."""
TOURNAMENT_SIZE = 4
"""Parents that are drawn at once; the best of them is taken."""
CROSSOVER_PROBABILITY = 0.3
"""Share of children that have two parents."""
STEP_SIZE = 0.15
"""A number that is switched moves by a normal step of this share of its range as often as it is drawn anew."""
MAX_REPAIRS = 16
"""How often a child over its budget is switched again."""


class EvolutionSampler:
    """Children of the front and of its youngest neighbours, by few level switches that keep the budget.

    The parents are the trials that no other dominates, which never age, and the latest `MAX_YOUNG_PARENTS` of the
    others; a tournament takes the one of lowest rank and, within a rank, of largest crowding distance. A child switches
    one to three parameters of its parent (few are best, so the smaller of two draws), or takes each from one of two
    parents and switches one. A child whose known costs break a constraint is switched on, where that brings it nearer
    to its budget, until it holds: one level up, another down.

    Args:
        space: Where recipes come from.
        constraint_violation: By how much the known costs of a config break the constraints; 0 where they hold. None:
            nothing is known.

    References: level switches and their number, Sieberling et al., "EvoPress", 2024, arXiv 2410.14649 (its budget is
    exact, ours an upper bound); ageing, Real et al., "Regularized evolution for image classifier architecture search",
    2019, arXiv 1802.01548 (there the best die too; here the front stays).
    """

    name = "evolution"
    explain = (
        "evolution: each recipe is a child of the front or of the latest trials off it, by one to three switches of "
        f"its parameters; the first {RANDOM_TRIALS} are drawn uniformly. Budgets at known cost are kept by further "
        "switches."
    )

    def __init__(self, space: Space, constraint_violation: Callable[[Config], float] | None = None) -> None:
        self._space = space
        self._constraint_violation = constraint_violation
        self._domains = {p.path: p.domain for p in space.parameters}

    def propose(self, seen: Sequence[Observation], seed: Sequence[int]) -> Config | None:
        """Return a child of recorded trials, or a random config while there are few."""
        rng = np.random.default_rng(list(seed))
        ended = [s for s in seen if s.values is not None and s.flat]
        if len(ended) < RANDOM_TRIALS:
            return self._space.sample(rng)
        parents, order = parent_pool(ended)

        def parent() -> Mapping[str, Value]:
            drawn: list[int] = rng.integers(len(parents), size=min(TOURNAMENT_SIZE, len(parents))).tolist()
            return parents[min(drawn, key=lambda i: order[i])].flat

        mated = rng.random() < CROSSOVER_PROBABILITY
        flat = self._flat(crossover(self._space, parent(), parent(), rng)) if mated else parent()
        switches = 1 if mated else int(min(rng.integers(1, 4, size=2)))
        return self._repaired(self.switch(flat, rng, switches), rng)

    def switch(self, flat: Mapping[str, Value], rng: np.random.Generator, count: int) -> Config:
        """Return the config of `flat` with `count` of its parameters changed, and what they open drawn."""
        paths = sorted(p for p in flat if p in self._domains)
        fresh = set(rng.choice(paths, size=min(count, len(paths)), replace=False).tolist()) if paths else set()

        def choose(path: str, domain: Domain) -> Value:
            if path not in flat:
                return uniform(domain, rng)
            return other_value(domain, flat[path], rng) if path in fresh else flat[path]

        return self._space.build(choose)

    def _repaired(self, child: Config, rng: np.random.Generator) -> Config:
        """Switch on a child that is over its budget, as long as that brings it nearer."""
        if self._constraint_violation is None:
            return child
        excess = self._constraint_violation(child)
        for _ in range(MAX_REPAIRS):
            if excess <= 0:
                break
            other = self.switch(self._flat(child), rng, 1)
            less = self._constraint_violation(other)
            if less < excess:
                child, excess = other, less
        return child

    def _flat(self, config: Config) -> Mapping[str, Value]:
        flat: Mapping[str, Value] = self._space.flatten(config)
        return flat


def other_value(domain: Domain, value: Value, rng: np.random.Generator) -> Value:
    """Another value of a domain: of labels any other; of a range one near by, or anywhere, with equal chance.

    Example:
        >>> other_value(("2", "4"), "2", np.random.default_rng(0))
        '4'
    """
    if not isinstance(domain, Range):
        others = [label for label in domain if label != value] or list(domain)
        return others[int(rng.integers(len(others)))]
    place = float(ranges.scale(domain, np.array([float(value)]))[0])
    drawn = value
    for _ in range(8):  # a short range may round to where it was
        drawn = (
            ranges.unscale(domain, 1 - abs(1 - abs(place + STEP_SIZE * rng.standard_normal())))  # reflected at the ends
            if rng.random() < 0.5
            else ranges.draw(domain, rng)
        )
        if drawn != value:
            break
    return drawn


def parent_pool(ended: Sequence[Observation]) -> tuple[list[Observation], list[int]]:
    """The trials that may be parents, and the place of each: 0 wins every tournament.

    Trials within the constraints come before others; of these, the less a constraint is broken the better.
    """
    feasible = [s for s in ended if s.violation <= 0]
    if not feasible:
        broken = sorted(ended, key=lambda s: (s.violation, -s.number))[:MAX_YOUNG_PARENTS]
        return broken, list(range(len(broken)))
    values = np.array([s.values for s in feasible])
    level = front.ranks(values)
    behind = [i for i in np.argsort([s.number for s in feasible], kind="stable") if level[i] > 0]
    parents = [*np.flatnonzero(level == 0).tolist(), *behind[len(behind) - min(MAX_YOUNG_PARENTS, len(behind)) :]]
    places = np.empty(len(parents), dtype=int)
    places[np.lexsort((-crowding_distance(values[parents]), front.ranks(values[parents])))] = np.arange(len(parents))
    return [feasible[i] for i in parents], places.tolist()
