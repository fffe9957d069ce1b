"""Who proposes the next recipe. A proposal is a pure function of recorded trials and a seed."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np

from autoreg.engine.pareto import front
from autoreg.engine.samplers.evolution import EvolutionSampler
from autoreg.engine.samplers.history import Config, Observation
from autoreg.engine.samplers.mutation import crossover, crowding_distance, mutate
from autoreg.engine.samplers.tpe import TPESampler
from autoreg.errors import InputError

if TYPE_CHECKING:
    from autoreg.space import Space


class Sampler(Protocol):
    """Proposes configs."""

    name: str
    explain: str

    def propose(self, seen: Sequence[Observation], seed: Sequence[int]) -> Config | None:
        """Return a config, the same for the same trials and seed; None when there is no other."""
        ...


class RandomSampler:
    """Draws from the space uniformly."""

    name = "random"
    explain = "random: every recipe is drawn uniformly from the space, whatever was seen."

    def __init__(self, space: Space) -> None:
        self._space = space

    def propose(self, seen: Sequence[Observation], seed: Sequence[int]) -> Config | None:
        """Draw a config that the space allows."""
        return self._space.sample(np.random.default_rng(list(seed)))


class GridSampler:
    """Walks through a finite space in its own order."""

    name = "grid"
    explain = "grid: every recipe of the finite space once, in order."

    def __init__(self, space: Space, limit: int = 1_000_000) -> None:
        size = space.size()
        if not math.isfinite(size.count) or size.count > limit:
            raise InputError(
                f"sampler 'grid': the space has {size.count:g} recipes; a grid needs at most {limit:,}. "
                "Give its ranges a step, or take sampler 'auto'."
            )
        self._configs: Iterator[Config] = space.enumerate(limit)

    def propose(self, seen: Sequence[Observation], seed: Sequence[int]) -> Config | None:
        """Return the next config of the walk; the caller passes over those it has seen."""
        return next(self._configs, None)


class NSGA2Sampler:
    """Children of the best recorded trials, by NSGA-II's selection.

    The parents are the best `population` of the trials recorded up to the last full generation,
    by non-dominated rank and then crowding distance; two binary tournaments choose a pair;
    each parameter comes from either, and is drawn anew with a chance of one in their number.

    Reference: Deb et al., "A fast and elitist multiobjective genetic algorithm: NSGA-II", 2002.
    """

    name = "nsga2"

    def __init__(self, space: Space, population: int = 20) -> None:
        self._space = space
        self._population = population
        self.explain = (
            f"nsga2: crossovers and mutations of the best {population} recorded trials, a generation at a time."
        )

    def propose(self, seen: Sequence[Observation], seed: Sequence[int]) -> Config | None:
        """Return a child of two recorded trials, or a random config in the first generation."""
        rng = np.random.default_rng(list(seed))
        ended = [s for s in seen if s.values is not None and s.flat]
        ended = ended[: len(ended) // self._population * self._population]
        if not ended:
            return self._space.sample(rng)
        parents = self._parents(ended)
        pair = [parents[min(rng.integers(len(parents), size=2))] for _ in range(2)]
        child = self._space.flatten(crossover(self._space, pair[0].flat, pair[1].flat, rng))
        switches = int(rng.binomial(max(len(child), 1), 1 / max(len(child), 1)))
        return mutate(self._space, child, rng, switches)

    def _parents(self, ended: Sequence[Observation]) -> list[Observation]:
        feasible = [s for s in ended if s.violation <= 0]
        broken = sorted((s for s in ended if s.violation > 0), key=lambda s: (s.violation, s.number))
        best: list[Observation] = []
        if feasible:
            values = np.array([s.values for s in feasible])
            best = [feasible[i] for i in np.lexsort((-crowding_distance(values), front.ranks(values)))]
        return (best + broken)[: self._population]


SAMPLERS: dict[str, str] = {
    "auto": "tpe for the first trials, then the largest expected improvement at the known cost",
    "tpe": "Optuna's multi-objective TPE",
    "nsga2": "crossovers and mutations of the best recorded trials",
    "random": "uniformly from the space",
    "grid": "every recipe of a finite space",
    "evolution": "children of the front by one to three level switches",
}


def make_sampler(
    name: str, space: Space, objectives: int, constraint_violation: Callable[[Config], float] | None = None
) -> Sampler:
    """Return the sampler called `name`.

    Args:
        name: One of `SAMPLERS`.
        space: The space to propose from.
        objectives: How many objectives a study has.
        constraint_violation: By how much the known costs of a config break the constraints, for samplers that keep a
            budget.

    Raises:
        InputError: If there is no such sampler, or it cannot serve this space.
    """
    makers: dict[str, Callable[[], Sampler]] = {
        "auto": lambda: TPESampler(space, objectives),
        "tpe": lambda: TPESampler(space, objectives),
        "nsga2": lambda: NSGA2Sampler(space),
        "random": lambda: RandomSampler(space),
        "grid": lambda: GridSampler(space),
        "evolution": lambda: EvolutionSampler(space, constraint_violation),
    }
    if name not in makers:
        near = difflib.get_close_matches(str(name), makers, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise InputError(f"sampler {name!r} is not known; allowed: {', '.join(makers)}.{hint}")
    return makers[name]()
