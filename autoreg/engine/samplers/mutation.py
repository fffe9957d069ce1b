"""Ways to make a config: drawn, mutated, crossed, quasi-random; and how crowded a front is."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from autoreg.engine.pareto import front
from autoreg.engine.samplers.history import Config, Domain, Value
from autoreg.space import ranges
from autoreg.space.nodes import Range

if TYPE_CHECKING:
    from autoreg.space import Space


def uniform(domain: Domain, rng: np.random.Generator) -> Value:
    """Draw from a domain: every label alike, a range uniformly (in its logarithm where it says so)."""
    return ranges.draw(domain, rng) if isinstance(domain, Range) else domain[int(rng.integers(len(domain)))]


def mutate(space: Space, flat: Mapping[str, Value], rng: np.random.Generator, switches: int) -> Config:
    """Return the config of `flat` with `switches` of its parameters drawn anew (and what they open)."""
    paths = sorted(p.path for p in space.parameters if p.path in flat)
    fresh = set(rng.choice(paths, size=min(switches, len(paths)), replace=False).tolist()) if paths else set()
    return space.build(lambda path, domain: flat[path] if path in flat and path not in fresh else uniform(domain, rng))


def crossover(
    space: Space, first: Mapping[str, Value], second: Mapping[str, Value], rng: np.random.Generator
) -> Config:
    """Return a config that takes each parameter from one of two parents, each with equal chance."""

    def choose(path: str, domain: Domain) -> Value:
        mother, father = (first, second) if rng.random() < 0.5 else (second, first)
        return mother[path] if path in mother else father[path] if path in father else uniform(domain, rng)

    return space.build(choose)


def quasi_random(space: Space, count: int, rng: np.random.Generator) -> list[Config]:
    """Return configs spread evenly over the space by a scrambled Sobol sequence, one dimension a parameter.

    Reference: Owen, "Scrambling Sobol' and Niederreiter-Xing points", 1998, as in `scipy.stats.qmc`.
    """
    from scipy.stats import qmc

    paths = {p.path: k for k, p in enumerate(space.parameters)}
    if not paths or len(paths) > qmc.Sobol.MAXDIM or count < 1:
        return [space.sample(rng) for _ in range(count)]
    points = qmc.Sobol(len(paths), rng=rng).random_base2(max(count - 1, 0).bit_length())[:count]

    def config(point: front.Floats) -> Config:
        def choose(path: str, domain: Domain) -> Value:
            if path not in paths:  # no parameter: which of too many methods leaves
                return uniform(domain, rng)
            place = min(float(point[paths[path]]), 1 - 1e-12)  # below 1, or the last label would be overrun
            return ranges.unscale(domain, place) if isinstance(domain, Range) else domain[int(place * len(domain))]

        return space.build(choose)

    return [config(p) for p in points]


def crowding_distance(values: front.Floats) -> front.Floats:
    """Crowding distance [n] of points [n, m] within their non-dominated rank; infinite at its ends."""
    out = np.zeros(len(values))
    level = front.ranks(values)
    for k in np.unique(level):
        members = np.flatnonzero(level == k)
        for column in values[members].T:
            by = members[np.argsort(column, kind="stable")]
            spread = float(column.max() - column.min()) or 1.0
            out[by[[0, -1]]] = math.inf
            inner = np.sort(column, kind="stable")
            out[by[1:-1]] += (inner[2:] - inner[:-2]) / spread
    return out
