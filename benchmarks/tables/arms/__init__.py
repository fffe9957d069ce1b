"""The arms: ways to search a table, behind one function with the same starts and the same dedupe for all."""

from __future__ import annotations

import importlib
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol, cast, runtime_checkable

import numpy as np

from autoreg.errors import InputError
from benchmarks.tables.paying import Cost, Meter
from benchmarks.tables.table import Config, Floats, Table

STARTS = 10
"""Trials that all arms of a (table, seed) share: the dense recipe and nine at random."""
TRIES = 50
"""Repeated proposals after which a new recipe is drawn evenly instead."""


@dataclass(frozen=True)
class Task:
    """What an arm may know: the space, the cost of anything, the starts, and the measure's corner.

    The corner is (log dense cost, dense error as seen + tolerance); the dense recipe is the first start. `meter` tells
    what a recipe would still have to pay in this run.
    """

    table: Table
    seed: int
    trials: int
    starts: tuple[Config, ...]
    corner: tuple[float, float]
    meter: Meter

    def remaining_cost(self, config: Config) -> Cost:
        """Weighted epochs and seconds that a whole trial would pay now, shared phases left out."""
        return self.meter.remaining_cost(self.table.row(config))

    def phase_costs(self, config: Config) -> list[tuple[str, float]]:
        """Key and weighted epochs of each phase; nothing for a config that the table does not hold."""
        return [(key, epochs) for key, epochs, _ in self.table.phases_of_config(config)]

    def log_cost(self, config: Config) -> float:
        """Natural logarithm of the known cost."""
        return float(np.log(self.table.cost([config])[0]))


class Arm(Protocol):
    """Proposes configs and receives results, the starts among them."""

    def ask(self) -> Config | None:
        """A config to try; None when the arm has no other."""
        ...

    def tell(self, config: Config, error: float, cost: float) -> None:
        """Take a result; `config` is one that was asked or a start."""
        ...

    def repeated(self, config: Config) -> None:
        """Learn that the config that was asked has been tried before: it costs nothing and tells nothing."""
        ...


@runtime_checkable
class Stopper(Arm, Protocol):
    """An arm that may stop a trial early. It gets every step but the last; of the starts too, which go on anyway."""

    def report(self, config: Config, step: int, steps: int, error: float) -> bool:
        """Take the error after `step` of `steps`; whether the trial is to be stopped."""
        ...

    def stopped(self, config: Config, error: float, cost: float) -> None:
        """Learn that the trial was stopped, with the error where it was; in place of `tell`."""
        ...


@runtime_checkable
class Chooser(Arm, Protocol):
    """An arm that says what it would hand over in the end; of others it is the front of what they saw."""

    def chosen(self) -> list[Config]:
        """The recipes that it takes for the front."""
        ...


@dataclass
class Run:
    """Rows of the table in the order in which they were tried, and what each took.

    Attributes:
        rows: Rows of the table.
        steps: Step of the curve after which each was stopped; 0 where it ran to its end.
        seconds: Seconds that the arm itself took.
        epochs: Weighted epochs that were paid.
        trained: Seconds that were paid according to the table.
        drawn: How many were drawn at random since the arm repeated itself.
        chosen: Rows that the arm takes for the front in the end; None where it does not say.
    """

    rows: list[int] = field(default_factory=list)
    steps: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    epochs: list[float] = field(default_factory=list)
    trained: list[float] = field(default_factory=list)
    drawn: int = 0
    chosen: list[int] | None = None


ARMS: dict[str, str] = {
    "random": "simple:Random",
    "isotonic": "simple:Isotonic",
    "tpe": "optuna_arms:TPE",
    "tpe_repeats": "optuna_arms:RepeatsTPE",
    "tpe_multivariate": "optuna_arms:MultivariateTPE",
    "tpe_filter": "optuna_arms:FilteredTPE",
    "tpe_isotonic": "optuna_arms:IsotonicTPE",
    "nsga2": "optuna_arms:NSGA2",
    "optuna_gp": "optuna_arms:OptunaGP",
    "linas": "linas:Linas",
    "ours": "ours:Ours",
    "ours_learned": "ours:OursLearned",
    "ours_unpriced": "ours:OursUnpriced",
    "ours_no_prefix": "ours:OursNoPrefix",
    "ours_random_filter": "ours:OursRandomFilter",
    "ours_halving": "ours:OursHalving",
    "ours_bound": "ours:OursBound",
    "random_asha": "asha:RandomAsha",
    "tpe_asha": "asha:TPEAsha",
    "moasha": "asha:MOAsha",
    "moasha_syne": "syne_arm:SyneMOASHA",
    "qlognehvi": "botorch_arm:QLogNEHVI",
    "parego": "smac_arm:ParEGO",
}
"""Names and where they live; a module is imported when its arm runs."""
SLOW = ("qlognehvi", "parego", "tpe_isotonic", "optuna_gp")
"""Arms above 0.3 s a trial: five seeds are enough."""
VERY_SLOW = ("qlognehvi", "parego", "tpe_isotonic")
"""Arms that fifty trials are enough of."""
STOPPING = ("ours_halving", "ours_bound", "random_asha", "tpe_asha", "moasha", "moasha_syne")
"""Arms that stop trials early: for tables with curves."""

ENUMERATING = ("isotonic", "linas", "parego", "qlognehvi")
"""Arms that choose among the rows of a table: not for live spaces, which have none before a trial."""


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


def task_of(table: Table, seed: int, trials: int, starts: int = STARTS, *, cache: bool = True) -> Task:
    """The task that every arm of a (table, seed) gets."""
    rows = table.starts(seed, min(starts, trials))
    seen = float(table.observe(table.configs[table.dense], seed))
    corner = (float(np.log(table.costs[table.dense])), seen + table.tolerance)
    return Task(table, seed, trials, tuple(table.configs[r] for r in rows), corner, Meter(table, cache))


# long: a third is the description of its arguments; the rest is one loop over trials
def run(
    arm: str | Callable[[Task], Arm],
    table: Table,
    seed: int,
    trials: int,
    starts: int = STARTS,
    *,
    cache: bool = True,
    epochs: float = math.inf,
) -> Run:
    """Let an arm search a table.

    Args:
        arm: One of `ARMS`, or what makes another.
        table: The table.
        seed: Which seed the arm sees, and the seed of all it draws.
        trials: Different recipes to try, starts included, those that are stopped too.
        starts: How many of them are the common start. They are never stopped.
        cache: Whether shared phases are counted once.
        epochs: No trial begins once so many weighted epochs were run.

    Raises:
        InputError: If there is no such arm, or it stops trials and the table has no curves.
    """
    task = task_of(table, seed, trials, starts, cache=cache)
    player, out = make(arm, task) if isinstance(arm, str) else arm(task), Run()
    stopper = player if isinstance(player, Stopper) else None
    if math.isinf(table.size) and arm in ENUMERATING:
        raise InputError(f"arm {arm!r} chooses among all recipes; table {table.name} cannot be enumerated")
    if stopper is not None and table.curves is None:
        raise InputError(f"arm {arm!r} stops trials early; table {table.name} has no curves")
    taken: set[int] = set()
    fallback = np.random.default_rng([seed, 0xFA11])

    def stopping_step(config: Config, start: bool) -> int:
        """Report the steps of a trial; the one after which it is stopped, or 0."""
        curve = table.curve(config, seed)
        if stopper is None or curve is None:
            return 0
        for step, error in enumerate(curve[:-1], start=1):
            if stopper.report(config, step, len(curve), float(error)) and not start:
                return step
        return 0

    def note(config: Config, began: float | None) -> None:
        row, curve = table.row(config), table.curve(config, seed)
        taken.add(row)
        step = stopping_step(config, began is None)
        tried = time.perf_counter()
        error = 0.0 if step else table.observe(config, seed)  # first, for what a live trial took is known then
        tried = time.perf_counter() - tried
        cost = task.meter.pay(row, step)
        if step and stopper is not None and curve is not None:
            stopper.stopped(config, float(curve[step - 1]), float(table.costs[row]))
        else:
            player.tell(config, error, float(table.costs[row]))
        out.rows.append(row)
        out.steps.append(step)
        out.epochs.append(cost.epochs)
        out.trained.append(cost.seconds)
        out.seconds.append(0.0 if began is None else time.perf_counter() - began - tried)

    for config in task.starts:
        note(config, None)
    while len(out.rows) < min(trials, table.size) and sum(out.epochs) < epochs:
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
            found = table.another(taken, fallback)
        note(found, began)
    if isinstance(player, Chooser):
        out.chosen = [int(row) for row in table.rows(player.chosen())]
    return out


class Base:
    """What arms share: a generator, and results as arrays."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.rng = np.random.default_rng([task.seed, 0xA2])
        self.rows: list[int] = []
        self.errors: list[float] = []

    def ask(self) -> Config | None:
        """The next recipe."""
        raise NotImplementedError

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
