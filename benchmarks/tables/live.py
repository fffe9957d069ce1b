"""Live tables: a conditional space of 37 dimensions with continuous rates, where nothing repeats by chance.

`live-surrogate` asks a model fitted to real trials, `live-digits` trains: every trial is a real short run. Neither can
be enumerated: a recipe gets a row when it is tried. Rules of tolerance and *near* are those of our own tables.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from autoreg.errors import InputError
from autoreg.space import Space
from benchmarks.tables import live_space
from benchmarks.tables.own import DEFAULT_COST, NEAR, TOLERANCE
from benchmarks.tables.table import Config, Floats, Table, key_of

NAMES = ("live-surrogate", "live-digits")
RANDOM_DRAWS = 1000
"""Random draws that stand for the space: where starts come from, and the mean cost of a trial."""
PhaseCosts = Sequence[tuple[str, float, float]]
"""Key, weighted epochs and seconds of each phase."""


class Objective(Protocol):
    """What stands behind a live table."""

    tolerance: float

    def cost(self, config: Mapping[str, Any]) -> float:
        """Known cost, exact."""
        ...

    def phase_costs(self, config: Mapping[str, Any]) -> PhaseCosts:
        """Phases of a recipe."""
        ...

    def run(self, config: Mapping[str, Any], seed: int) -> tuple[float, float]:
        """Validation error that a seed shows, and the error that it is judged by."""
        ...

    def whole(self) -> tuple[Floats, Floats]:
        """Costs [k] and true errors [k] of what is known of the space; empty where there is only what was tried."""
        ...


class Live(Table):
    """A table that grows: rows are the dense recipe, `RANDOM_DRAWS` random draws, then what was tried.

    The draws do not depend on what was tried, and arms are shown nothing of the rows of others.

    Args:
        name: Name of the table.
        space: The space.
        dense: Config of the dense recipe.
        least: Least cost in the space, as far as is known.
        objective: Costs, phases and results.
        random_draws: How many random draws stand for the space.
    """

    def __init__(
        self,
        name: str,
        space: Space,
        dense: Config,
        least: float,
        objective: Objective,
        random_draws: int = RANDOM_DRAWS,
    ) -> None:
        rng = np.random.default_rng(0x11FE)
        near = NEAR * objective.tolerance
        self.__dict__.update(name=name, space=space, dense=0, tolerance=objective.tolerance, near=near, ideal=0.0)
        self.objective = objective
        self.made: list[Config] = []
        self.cost_of: list[float] = []
        self.values: dict[tuple[int, int], tuple[float, float]] = {}
        self.places: dict[Any, int] = {}
        self.known: dict[Any, float] = {}
        self.rows([dense, *(space.sample(rng) for _ in range(random_draws))])
        self._drawn = len(self.made)
        self._least = least

    def __len__(self) -> int:
        return len(self.made)

    size = float("inf")

    @property
    def least(self) -> float:
        """Least cost in the space, as far as is known."""
        return self._least

    @property
    def configs(self) -> Sequence[Config]:
        """Configs of all rows; those of recorded runs are empty."""
        return self.made

    @property
    def costs(self) -> Floats:
        """Costs of all rows [n]."""
        return np.array(self.cost_of)

    @functools.cached_property
    def phases(self) -> Sequence[PhaseCosts]:
        """Phases of the random draws, for what a trial costs on average."""
        return [self.objective.phase_costs(config) for config in self.made[: self._drawn]]

    def find(self, config: Mapping[str, Any]) -> int | None:
        """Row of a config that was tried, or None."""
        return self.places.get(key_of(config))

    def row(self, config: Mapping[str, Any]) -> int:
        """Row of a config, a new one where it has none.

        Raises:
            InputError: If the config is not of the space.
        """
        key = key_of(config)
        if key not in self.places:
            if config not in self.space:
                raise InputError(f"table {self.name}: {dict(config)!r} is no recipe of the space")
            self.places[key] = self._add(dict(config), self.cost([config])[0])
        return self.places[key]

    def cost(self, configs: Sequence[Mapping[str, Any]]) -> Floats:
        """Known costs of configs [k]; they need not have been tried."""
        keys = [key_of(config) for config in configs]
        for key, config in zip(keys, configs, strict=True):
            if key not in self.known:
                self.known[key] = self.objective.cost(config)
        return np.array([self.known[key] for key in keys])

    def phase_costs(self, row: int) -> PhaseCosts:
        """Phases of a row."""
        return self.objective.phase_costs(self.made[row])

    def phases_of_config(self, config: Mapping[str, Any]) -> PhaseCosts:
        """Phases of a config, tried or not."""
        return self.objective.phase_costs(config)

    def another(self, taken: Iterable[int], rng: np.random.Generator) -> Config:
        """A random draw."""
        return self.space.sample(rng)

    def starts(self, seed: int, count: int) -> list[int]:
        """Rows that every arm begins with: the dense recipe, then others of the random draws."""
        drawn = np.random.default_rng([seed, 0x57A27]).permutation(self._drawn)
        return [0, *(int(row) for row in drawn if row)][:count]

    def observe(self, config: Mapping[str, Any], seed: int) -> float:
        """Validation error of one seed."""
        return self._value(self.row(config), seed)[0]

    def truth(self, config: Mapping[str, Any], seed: int) -> float:
        """The error that a config is judged by."""
        return self._value(self.row(config), seed)[1]

    def seen(self, seed: int) -> Floats:
        """What one seed has shown of every row [n], NaN where it was not asked."""
        return self._values_of(seed, 0)

    def truths(self, seed: int) -> Floats:
        """True error of every row [n], NaN where this seed was not asked."""
        return self._values_of(seed, 1)

    def whole(self, seed: int) -> tuple[Floats, Floats]:
        """Costs and true errors of what is known of the space, or else of all that was tried with this seed."""
        costs, errors = self.objective.whole()
        if len(costs):
            return costs, errors
        truths = self.truths(seed)
        there = np.isfinite(truths)
        return self.costs[there], truths[there]

    def recorded(self, rows: Sequence[int], seed: int) -> dict[str, list[float]]:
        """What a run is judged by, in its own words, since rows of a live table mean nothing to another process."""
        pairs = [self._value(row, seed) for row in rows]
        found = {"costs": [self.cost_of[row] for row in rows]}
        return found | {"seen": [round(s, 6) for s, _ in pairs], "truths": [round(t, 6) for _, t in pairs]}

    def restored(self, run: Mapping[str, Any]) -> dict[str, Any]:
        """A recorded run with rows of this table; its first trial is the dense recipe."""
        rows = []
        for number, (cost, *pair) in enumerate(zip(run["costs"], run["seen"], run["truths"], strict=True)):
            rows.append(self._add({}, cost) if number else self.dense)
            self.values[rows[-1], run["seed"]] = (pair[0], pair[1])
        place = dict(zip(run["rows"], rows, strict=True))
        chosen = {"chosen": [place[row] for row in run["chosen"]]} if "chosen" in run else {}
        return {**run, "rows": rows, **chosen}

    def _add(self, config: Config, cost: float) -> int:
        self.made.append(config)
        self.cost_of.append(float(cost))
        return len(self.made) - 1

    def _value(self, row: int, seed: int) -> tuple[float, float]:
        if (row, seed) not in self.values:
            self.values[row, seed] = self.objective.run(self.made[row], seed)
        return self.values[row, seed]

    def _values_of(self, seed: int, part: int) -> Floats:
        found = np.full(len(self), np.nan)
        for (row, own), pair in self.values.items():
            if own == seed:
                found[row] = pair[part]
        return found


class Real:
    """Real short runs on digits.

    What a recipe is judged by is the test error of that very run: nobody can afford other seeds of each. So the front
    that stands for the whole is the one of all that any arm tried with the seed.

    Args:
        rates: Seconds of each kind of phase, see `live_surrogate.rates`; for phases that were not carried out yet.
    """

    def __init__(self, rates: Mapping[str, tuple[float, float]]) -> None:
        self.digits, self.rates = live_space.Digits(), rates
        self.took: dict[str, float] = {}
        dense = np.mean([self.run(live_space.DENSE, seed)[0] for seed in range(3)])
        self.tolerance = TOLERANCE * (self.digits.chance - float(dense))

    def cost(self, config: Mapping[str, Any]) -> float:
        """Bit operations."""
        return self.digits.costs(config)[DEFAULT_COST]

    def phase_costs(self, config: Mapping[str, Any]) -> PhaseCosts:
        """Phases, with the seconds that they took when they were carried out."""
        return [
            (key, epochs, self.took.get(key, self.rates[name][0] * epochs + self.rates[name][1]))
            for name, key, epochs in self.digits.phases(config)
        ]

    def run(self, config: Mapping[str, Any], seed: int) -> tuple[float, float]:
        """Train, compress and score; validation and test error."""
        tried = self.digits.run(config, seed)
        for name, key, _ in self.digits.phases(config):
            if name in tried.seconds:
                self.took[key] = tried.seconds[name]
        return tried.validation, tried.test

    def whole(self) -> tuple[Floats, Floats]:
        """Nothing is known but what was tried."""
        return np.zeros(0), np.zeros(0)


@functools.lru_cache(maxsize=2)
def load(name: str) -> Live:
    """Load one of `NAMES`; the same object for as long as the process lives.

    Raises:
        InputError: there is no such table, or its trials were not gathered.
    """
    from benchmarks.tables import live_front, live_surrogate

    if name not in NAMES:
        raise InputError(f"table {name!r} is not known; allowed: {', '.join(NAMES)}")
    trials = live_surrogate.read()
    front = live_front.read_front()
    if name == "live-surrogate":
        objective: Objective = live_surrogate.Surrogate(trials, front)
    else:
        objective = Real(live_surrogate.rates(trials))
    least = min(objective.cost(config) for config in front)
    return Live(name, live_space.space(), live_space.DENSE, least, objective)
