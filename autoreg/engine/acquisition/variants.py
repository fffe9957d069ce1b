"""Variants of a config that share its work up to one phase."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from autoreg.engine.acquisition.shared_cost import PhaseCostFunction
from autoreg.engine.samplers.history import Domain, Value
from autoreg.engine.samplers.mutation import uniform
from autoreg.space import ranges
from autoreg.space.nodes import Range

if TYPE_CHECKING:
    from autoreg.space import Space

DONOR_PROBABILITY = 0.8
"""How often a variant takes what it does not share from another config, and each parameter of that; else drawn."""
MAX_VALUES_TRIED = 8
"""Of a range with no more values than this all are tried, of a larger one its ends and its middle."""
MAX_CACHED_SETS = 4096
"""Sets of deciding parameters that are held before the cache is emptied."""


class SharedPrefixVariants:
    """Makes variants of a config that share its work up to one phase.

    Which parameters decide that work is found by changing one at a time and looking at the phase's key: all values of a
    discrete parameter, the ends and the middle of a range. The answer depends on the config and the phase alone, not on
    what was looked at before, so that a resumed study makes the same variants.

    Args:
        space: Where configs come from.
        phase_costs: Their phase costs; a phase's key stands for all the work up to it.
    """

    def __init__(self, space: Space, phase_costs: PhaseCostFunction) -> None:
        self._space, self._phase_costs = space, phase_costs
        self._domains = {p.path: p.domain for p in space.parameters}
        self._cached: dict[tuple[str, tuple[tuple[str, Value], ...]], frozenset[str]] = {}

    def generate(
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
            phase: Place among the phases, and key.
            count: How many to try; those that come out with another key are left out.
            rng: Draws donors and values.
        """
        fixed = self.deciding(flat, phase[1])
        found: list[dict[str, Any]] = []
        for _ in range(count):
            rest = donors[int(rng.integers(len(donors)))] if donors and rng.random() < DONOR_PROBABILITY else {}

            def choose(path: str, domain: Domain, rest: Mapping[str, Any] = rest) -> Any:
                if path in fixed:
                    return flat[path]
                return rest[path] if path in rest and rng.random() < DONOR_PROBABILITY else uniform(domain, rng)

            config = self._space.build(choose)
            if any(cost[0] == phase[1] for cost in self._phase_costs(config)):
                found.append(config)
        return found

    def deciding(self, flat: Mapping[str, Any], key: str) -> frozenset[str]:
        """Paths of the parameters in `flat` that decide the work up to the phase called `key`."""
        at = (key, tuple(sorted(flat.items())))
        if at not in self._cached:
            if len(self._cached) >= MAX_CACHED_SETS:
                self._cached.clear()
            self._cached[at] = frozenset(p for p in flat if p in self._domains and self._decides(flat, p, key))
        return self._cached[at]

    def _decides(self, flat: Mapping[str, Any], path: str, key: str) -> bool:
        for value in other_values(self._domains[path], flat[path]):

            def choose(other: str, domain: Domain, value: Value = value) -> Any:
                if other == path:
                    return value
                return flat[other] if other in flat else typical_value(domain)

            costs = self._phase_costs(self._space.build(choose))
            if costs and all(cost[0] != key for cost in costs):  # a table has no phases for what it does not hold
                return True
        return False


def other_values(domain: Domain, value: Value) -> list[Value]:
    """The values to change a parameter to: all others of a discrete domain, ends and middle of a large range.

    Example:
        >>> other_values(("2", "4", "8"), "4")
        ['2', '8']
    """
    if not isinstance(domain, Range):
        return [v for v in domain if v != value]
    if ranges.count(domain) <= MAX_VALUES_TRIED:
        tried = list(ranges.values(domain))
    else:
        tried = [ranges.unscale(domain, place) for place in (0.0, 0.5, 1.0)]
    return [v for v in tried if v != value]


def typical_value(domain: Domain) -> Value:
    """The value that a parameter gets which another's change brings in: a range's middle, the first of several."""
    return ranges.unscale(domain, 0.5) if isinstance(domain, Range) else domain[0]
