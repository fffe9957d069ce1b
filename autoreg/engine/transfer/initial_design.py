"""The first configs of a study that learns from earlier ones."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from autoreg.engine.pareto.front import Floats
from autoreg.engine.problem import Problem, QualityPrior
from autoreg.engine.samplers.mutation import mutate, quasi_random
from autoreg.lazy import lazy_module

special = lazy_module("scipy.special")

DESIGN_SIZE = 5
"""Configs that are tried first."""
DESIGN_CANDIDATES = 512
"""Quasi-random draws among which they are sought."""


def propose(prior: QualityPrior, problem: Problem, seed: int = 0, count: int = DESIGN_SIZE) -> list[dict[str, Any]]:
    """The configs to try first: the best by mean rank over the range of known cost.

    Candidates are quasi-random draws and the best trials of the earlier studies; the best are varied a few times. Of
    those within the constraints, `count` are taken one by one so that the area that they dominate, in (mean rank, mean
    of the scaled logarithms of known costs), grows most. They follow from the earlier studies alone, not from what
    trials of this one say of the prior: a resumed study seeks the same.
    """
    if not prior.informative:
        return []
    rng = np.random.default_rng([seed, 0x3A23])
    space = problem.space
    held: dict[str, tuple[dict[str, Any], dict[str, float]]] = {}

    def take(configs: Sequence[dict[str, Any]]) -> None:
        for config in configs:
            key = problem.identity(config)
            if key not in held and space.allowed(config) and problem.excess(config) <= 0:
                held[key] = (config, problem.known_costs(config))

    take([*quasi_random(space, DESIGN_CANDIDATES, rng), *prior.best_configs(rng)])
    for _ in range(3):
        configs = [c for c, _ in held.values()]
        if not configs:
            return []
        places = _places(prior, problem, list(held.values()))
        weights = rng.random(len(places))
        best = np.argsort(places[:, 0] * weights + places[:, 1] * (1 - weights))[:16]
        take([mutate(space, space.flatten(configs[k]), rng, int(rng.integers(1, 3))) for k in best for _ in range(8)])
    places = _places(prior, problem, list(held.values()))
    return [list(held.values())[k][0] for k in _spread(places, count)]


def _places(
    prior: QualityPrior, problem: Problem, held: Sequence[tuple[dict[str, Any], Mapping[str, float]]]
) -> Floats:
    """Mean rank and mean scaled log cost [n, 2], both in [0, 1]."""
    ranks = special.ndtr(prior.scores([c for c, _ in held]))
    names = [n for n in problem.names if n != problem.quality and all(n in costs for _, costs in held)]
    signs = dict(zip(problem.names, problem.signs, strict=True))
    table = np.array([[signs[n] * math.log(max(costs[n], 1e-12)) for n in names] for _, costs in held])
    if not names:
        return np.column_stack([ranks, np.zeros(len(held))])
    low, high = table.min(axis=0), table.max(axis=0)
    return np.column_stack([ranks, ((table - low) / np.where(high > low, high - low, 1.0)).mean(axis=1)])


def _spread(places: Floats, count: int) -> list[int]:
    """Indices of points [n, 2] in [0, 1]^2, taken one by one so that the area they dominate grows most."""
    taken: list[int] = []
    edges = np.linspace(0.0, 1.0, 257)
    reached = np.ones(256)  # best rank so far, by cost
    for _ in range(min(count, len(places))):
        gains = np.array([np.maximum(reached[edges[:-1] >= cost] - rank, 0.0).sum() for rank, cost in places.tolist()])
        gains[taken] = -1.0
        best = int(np.lexsort((places[:, 0], -gains))[0])
        taken.append(best)
        reached = np.where(edges[:-1] >= places[best, 1], np.minimum(reached, places[best, 0]), reached)
    return taken
