"""The arms: ways to search a table, behind one function with the same starts and the same dedupe for all."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol, cast

import numpy as np

from autoreg.errors import InputError
from benchmarks.tables.table import Config, Floats, Table

STARTS = 10
"""Trials that all arms of a (table, seed) share: the dense recipe and nine at random."""
TRIES = 50
"""Repeated proposals after which a new recipe is drawn evenly instead."""


@dataclass(frozen=True)
class Task:
    """What an arm may know: the space, the cost of anything, the starts, and the measure's corner.

    The corner is (log dense cost, dense error as seen + tolerance); the dense recipe is the first start.
    """

    table: Table
    seed: int
    trials: int
    starts: tuple[Config, ...]
    corner: tuple[float, float]

    def log_cost(self, config: Config) -> float:
        """Natural logarithm of the known cost."""
        return float(np.log(self.table.cost([config])[0]))


class Arm(Protocol):
    """Proposes configs and hears results, the starts among them."""

    def ask(self) -> Config | None:
        """A config to try; None when the arm has no other."""
        ...

    def tell(self, config: Config, error: float, cost: float) -> None:
        """Hear a result; `config` is one that was asked or a start."""
        ...

    def repeated(self, config: Config) -> None:
        """Hear that the config that was asked has been tried before: it costs nothing and tells nothing."""
        ...


@dataclass
class Run:
    """Rows of the table in the order in which they were tried, and seconds that the arm took for each.

    `drawn` counts trials that were drawn evenly since the arm kept repeating itself.
    """

    rows: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    drawn: int = 0


ARMS: dict[str, str] = {
    "random": "simple:Random",
    "isotonic": "simple:Isotonic",
    "tpe": "optuna_arms:TPE",
    "tpe_told": "optuna_arms:ToldTPE",
    "tpe_multivariate": "optuna_arms:MultivariateTPE",
    "tpe_filter": "optuna_arms:FilteredTPE",
    "tpe_isotonic": "optuna_arms:IsotonicTPE",
    "nsga2": "optuna_arms:NSGA2",
    "linas": "linas:Linas",
    "ours": "ours:Ours",
    "ours_learned": "ours:OursLearned",
    "ours_random_filter": "ours:OursRandomFilter",
    "qlognehvi": "botorch_arm:QLogNEHVI",
    "parego": "smac_arm:ParEGO",
}
"""Names and where they live; a module is imported when its arm runs."""
SLOW = ("qlognehvi", "parego", "tpe_isotonic")
"""Arms above 0.3 s a trial: five seeds are enough."""


def make(name: str, task: Task) -> Arm:
    """Make an arm.

    Raises:
        InputError: If there is no such arm.
    """
    if name not in ARMS:
        raise InputError(f"arm {name!r} is not known; allowed: {', '.join(ARMS)}")
    module, made = ARMS[name].split(":")
    maker = cast(Callable[[Task], Arm], getattr(importlib.import_module(f"{__name__}.{module}"), made))
    return maker(task)


def task_of(table: Table, seed: int, trials: int, starts: int = STARTS) -> Task:
    """The task that every arm of a (table, seed) gets."""
    rows = table.starts(seed, min(starts, trials))
    seen = float(table.observe(table.configs[table.dense], seed))
    corner = (float(np.log(table.costs[table.dense])), seen + table.tolerance)
    return Task(table, seed, trials, tuple(table.configs[r] for r in rows), corner)


def run(arm: str, table: Table, seed: int, trials: int, starts: int = STARTS) -> Run:
    """Let an arm search a table.

    Args:
        arm: One of `ARMS`.
        table: The table.
        seed: Which seed the arm sees, and the seed of all it draws.
        trials: Different recipes to try, starts included.
        starts: How many of them are the common start.
    """
    task = task_of(table, seed, trials, starts)
    player, out = make(arm, task), Run()
    taken: set[int] = set()
    fallback = np.random.default_rng([seed, 0xFA11])

    def note(config: Config, began: float | None) -> None:
        row = table.row(config)
        taken.add(row)
        player.tell(config, table.observe(config, seed), float(table.costs[row]))
        out.rows.append(row)
        out.seconds.append(0.0 if began is None else time.perf_counter() - began)

    for config in task.starts:
        note(config, None)
    while len(out.rows) < min(trials, len(table)):
        began = time.perf_counter()
        found: Config | None = None
        for _ in range(TRIES):
            asked = player.ask()
            if asked is None:
                break
            if table.row(asked) not in taken:
                found = asked
                break
            player.repeated(asked)
        if found is None:
            out.drawn += 1
            free = np.setdiff1d(np.arange(len(table)), np.fromiter(taken, dtype=int))
            found = table.configs[int(fallback.choice(free))]
        note(found, began)
    return out


class Base:
    """What arms share: a generator, and results as arrays."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.rng = np.random.default_rng([task.seed, 0xA2])
        self.rows: list[int] = []
        self.errors: list[float] = []

    def tell(self, config: Config, error: float, cost: float) -> None:
        """Remember a result."""
        self.rows.append(self.task.table.row(config))
        self.errors.append(error)

    def repeated(self, config: Config) -> None:
        """Nothing to learn."""

    @property
    def y(self) -> Floats:
        """Errors seen so far."""
        return np.array(self.errors)

    @property
    def log_costs(self) -> Floats:
        """Logarithms of the costs of what was tried."""
        return np.asarray(np.log(self.task.table.costs[self.rows]))
