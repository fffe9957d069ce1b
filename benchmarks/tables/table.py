"""A table of finished trials as a search problem: a space, a vectorized cost, an objective, optional curves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoreg.errors import InputError
from autoreg.space import Space

Config = dict[str, Any]
Floats = NDArray[np.float64]
Key = tuple[Any, ...]


def key_of(config: Mapping[str, Any]) -> Key:
    """A hashable key of a config (nested mappings of plain values), the same for any order of names."""
    return tuple((k, key_of(v) if isinstance(v, Mapping) else v) for k, v in sorted(config.items()))


# many arguments: the columns of a table and what its makers say of it
@dataclass(frozen=True)
class Table:
    """Every recipe of a finite space with what it costs and how well it did with several seeds.

    An arm sees `observe`: the validation quality of one seed. What it found is judged by `truth`: the mean over
    the *other* seeds, of the test quality where the table has one.

    Args:
        name: Name of the table.
        space: The space; `configs` are all that it allows.
        configs: n recipes.
        costs: Exactly known cost of each [n], above 0, unit as the table says.
        validation: Error per recipe and seed [n, s], smaller is better, NaN where there was no such run.
        dense: Index of the dense recipe: the largest network with default training.
        tolerance: How much worse than the dense error still counts, in units of the error.
        near: Errors this close to the best count as equally good, in units of the error.
        ideal: An error that nothing can beat; only sets a scale.
        test: Test error [n, s]; validation stands in for it where there is none.
        curves: Error after each step [n, s, steps], where the table has curves. The last step is the end.
        curve_epochs: Weighted epochs of its phases that a recipe has run at each step of its curve [n, steps]. Without
            them the steps stand at equal distances.
        phases: What each recipe is trained by [n]: (key, weighted epochs, seconds) of its phases, in order. Recipes
            with a key in common share that phase. Without them every recipe is one phase of its own, of one epoch.
        prefixes: Row of each recipe's uncompressed prefix, the same training with nothing removed or quantized, which a
            trial has in passing; -1 where there is none.
    """

    name: str
    space: Space
    configs: Sequence[Config]
    costs: Floats
    validation: Floats
    dense: int
    tolerance: float
    near: float
    ideal: float
    test: Floats | None = None
    curves: Floats | None = None
    curve_epochs: Floats | None = None
    phases: Sequence[Sequence[tuple[str, float, float]]] | None = None
    prefixes: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        if len(self.configs) != len(self.costs) or len(self.configs) != len(self.validation):
            raise InputError(f"table {self.name}: {len(self.configs)} recipes need as many costs and qualities")
        if not (np.isfinite(self.costs).all() and (self.costs > 0).all()):
            raise InputError(f"table {self.name}: costs must be finite and above 0")
        if (np.isfinite(self.validation).sum(axis=1) < 2).any():
            raise InputError(f"table {self.name}: every recipe needs two seeds, one to see and one to judge by")

    def __len__(self) -> int:
        return len(self.configs)

    @property
    def size(self) -> float:
        """How many recipes there are; infinite for a space that cannot be enumerated, see `benchmarks.tables.live`."""
        return len(self)

    @property
    def least(self) -> float:
        """The least cost."""
        return float(self.costs.min())

    @cached_property
    def _rows(self) -> dict[Key, int]:
        return {key_of(config): row for row, config in enumerate(self.configs)}

    @cached_property
    def encoded(self) -> Floats:
        """All recipes as vectors [n, p], NaN where a parameter is not active."""
        return np.asarray(self.space.encode_many(self.configs), dtype=float)

    def row(self, config: Mapping[str, Any]) -> int:
        """Where a config stands in the table.

        Raises:
            InputError: If the table has no such config.
        """
        found = self.find(config)
        if found is None:
            raise InputError(f"table {self.name}: there is no recipe {dict(config)!r}")
        return found

    def find(self, config: Mapping[str, Any]) -> int | None:
        """Where a config stands in the table, or None."""
        return self._rows.get(key_of(config))

    def rows(self, configs: Sequence[Mapping[str, Any]]) -> NDArray[np.int64]:
        """Where configs stand in the table [k]."""
        return np.fromiter((self.row(c) for c in configs), dtype=np.int64, count=len(configs))

    def cost(self, configs: Sequence[Mapping[str, Any]]) -> Floats:
        """Known costs of configs [k]."""
        return self.costs[self.rows(configs)]

    def seen(self, seed: int) -> Floats:
        """What one seed shows of every recipe [n]; a recipe with fewer seeds takes its own in turn."""
        return self.validation[np.arange(len(self)), self._column(seed)]

    def truths(self, seed: int) -> Floats:
        """Mean error over the seeds that an arm with `seed` does not see [n]."""
        source = np.array(self.validation if self.test is None else self.test)
        source[np.arange(len(self)), self._column(seed)] = np.nan
        return np.asarray(np.nanmean(source, axis=1))

    def observe(self, config: Mapping[str, Any], seed: int) -> float:
        """Validation error of one seed."""
        row = self.row(config)
        there = np.flatnonzero(np.isfinite(self.validation[row]))
        return float(self.validation[row, there[seed % len(there)]])

    def truth(self, config: Mapping[str, Any], seed: int) -> float:
        """Mean error over the other seeds."""
        row = self.row(config)
        there = np.flatnonzero(np.isfinite(self.validation[row]))
        others = np.delete(there, seed % len(there))
        return float((self.validation if self.test is None else self.test)[row, others].mean())

    def whole(self, seed: int) -> tuple[Floats, Floats]:
        """Costs and true errors of all that a run is compared with."""
        return self.costs, self.truths(seed)

    def phase_costs(self, row: int) -> Sequence[tuple[str, float, float]]:
        """Phases of a recipe, in order: (key, weighted epochs, seconds)."""
        return [(f"row {row}", 1.0, 0.0)] if self.phases is None else self.phases[row]

    def phases_of_config(self, config: Mapping[str, Any]) -> Sequence[tuple[str, float, float]]:
        """Phases of a config; none where the table does not hold it."""
        row = self.find(config)
        return [] if row is None else self.phase_costs(row)

    def another(self, taken: Iterable[int], rng: np.random.Generator) -> Config:
        """A recipe that was not taken, drawn evenly."""
        free = np.setdiff1d(np.arange(len(self)), np.fromiter(taken, dtype=int))
        return self.configs[int(rng.choice(free))]

    def prefix(self, config: Mapping[str, Any]) -> Config | None:
        """The uncompressed prefix of a config, or None where it has none but itself."""
        row = self.find(config)
        found = -1 if row is None or self.prefixes is None else int(self.prefixes[row])
        return None if found in (-1, row) else self.configs[found]

    def curve(self, config: Mapping[str, Any], seed: int) -> Floats | None:
        """Error after each step [steps], or None where the table has no curves."""
        if self.curves is None:
            return None
        row = self.row(config)
        there = np.flatnonzero(np.isfinite(self.validation[row]))
        return np.asarray(self.curves[row, there[seed % len(there)]])

    def starts(self, seed: int, count: int) -> list[int]:
        """Rows that every arm begins with: the dense recipe, then others at random."""
        drawn = np.random.default_rng([seed, 0x57A27]).permutation(len(self))[: count + 1]
        return [self.dense, *(int(row) for row in drawn if row != self.dense)][:count]

    def _column(self, seed: int) -> NDArray[np.int64]:
        there = np.isfinite(self.validation)
        wanted = seed % there.sum(axis=1)
        return np.asarray(np.argmax(there.cumsum(axis=1) == wanted[:, None] + 1, axis=1), dtype=np.int64)


def factorial(space: Space, size: int) -> list[Config]:
    """All configs of a space, of which there must be `size`."""
    configs = list(space.enumerate(size))
    if len(configs) != size:
        raise InputError(f"the space has {len(configs):,} recipes, the table {size:,}")
    return configs
