"""Optuna's samplers under ask and tell, as a user would run them, and TPE with cost known."""

from __future__ import annotations

import functools
import warnings
from typing import Any

import numpy as np
import optuna

from autoreg.space.nodes import Range
from benchmarks.tables import staircase
from benchmarks.tables.arms import Base, Task
from benchmarks.tables.arms.simple import isotonic
from benchmarks.tables.table import Config, Key, key_of

optuna.logging.set_verbosity(optuna.logging.WARNING)
warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
PROPOSALS = 64
CHOSEN_FROM = 16
UNFILTERED = 0.1


class _Optuna(Base):
    """Minimizes (error, log cost) with a sampler; parameters are named by their paths.

    On discrete spaces TPE would propose the same recipe for ever if a repeated one taught it nothing. `repeats` says
    what a repeated recipe does: "repel" leaves it running until a new one is found, so that the constant liar
    turns the sampler away; "tell" reports its known result again.
    """

    repeats = "repel"

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self.study = optuna.create_study(directions=["minimize"] * 2, sampler=self.sampler(task.seed))
        self.open: list[tuple[Key, optuna.Trial]] = []
        self.known: dict[Key, list[float]] = {}

    def sampler(self, seed: int) -> optuna.samplers.BaseSampler:
        """The sampler that this arm is about."""
        raise NotImplementedError

    def draw(self) -> Config:
        """One proposal; its trial stays open until a new result arrives."""
        while True:
            trial = self.study.ask()
            config: Config = self.task.table.space.build(functools.partial(_suggest, trial))
            self.open.append((key_of(config), trial))
            if self.task.table.space.allowed(config):
                return config

    def ask(self) -> Config | None:
        """Its next proposal."""
        return self.draw()

    def repeated(self, config: Config) -> None:
        """Leave the repeated proposal open, or tell it again."""
        if self.repeats == "tell":
            self.study.tell(self.open.pop()[1], self.known[key_of(config)])

    def tell(self, config: Config, error: float, cost: float) -> None:
        """Tell Optuna, and close what else is open; a start is enqueued first, so that it counts as the sampler's."""
        super().tell(config, error, cost)
        self.known[key_of(config)] = [error, float(np.log(cost))]
        self._close(config, values=self.known[key_of(config)])

    def _close(self, config: Config, **ended: Any) -> None:
        key = key_of(config)
        if all(key != other for other, _ in self.open):
            self.study.enqueue_trial(dict(self.task.table.space.flatten(config)))
            self.draw()
        for other, trial in self.open:
            if other == key:
                self.study.tell(trial, **ended)
                key = ()  # the first only
            else:
                self.study.tell(trial, state=optuna.trial.TrialState.FAIL)
        self.open.clear()


def _suggest(trial: optuna.Trial, path: str, domain: Any) -> Any:
    if not isinstance(domain, Range):
        return trial.suggest_categorical(path, domain)
    low, high, step = domain.low, domain.high, None if domain.is_log else domain.step
    if domain.is_int:
        return trial.suggest_int(path, int(low), int(high), log=domain.is_log, step=int(step or 1))
    return trial.suggest_float(path, low, high, log=domain.is_log, step=step)


class TPE(_Optuna):
    """TPE with Optuna's defaults; the ten starts are its startup trials."""

    def sampler(self, seed: int) -> optuna.samplers.BaseSampler:
        """TPE, one parameter at a time."""
        return optuna.samplers.TPESampler(seed=seed)


class RepeatsTPE(TPE):
    """TPE that gets the value of a repeated recipe again."""

    repeats = "tell"


class MultivariateTPE(_Optuna):
    """TPE over the joint distribution."""

    def sampler(self, seed: int) -> optuna.samplers.BaseSampler:
        """TPE, all parameters of a group together."""
        return optuna.samplers.TPESampler(seed=seed, multivariate=True, group=True)


class NSGA2(_Optuna):
    """NSGA-II with a population of 20 (with Optuna's default of 50 half of 100 trials would be random)."""

    def sampler(self, seed: int) -> optuna.samplers.BaseSampler:
        """NSGA-II."""
        return optuna.samplers.NSGAIISampler(seed=seed, population_size=20)


class OptunaGP(_Optuna):
    """Optuna's Gaussian process with expected hypervolume improvement; conditional parameters are drawn evenly."""

    def sampler(self, seed: int) -> optuna.samplers.BaseSampler:
        """The Gaussian process with Optuna's defaults."""
        return optuna.samplers.GPSampler(seed=seed, warn_independent_sampling=False)


class FilteredTPE(TPE):
    """The first of up to 64 proposals of TPE that could extend the front at its known cost.

    A candidate could, if with the best error seen it would gain at least a thousandth of the area that the front
    leaves above that error. (With any slack below the best error seen nothing is ever filtered where there are two
    objectives.) One proposal in ten goes unfiltered, which lets in what is costlier than the best.
    """

    def ask(self) -> Config | None:
        """The first proposal that could extend the front, or the first of all."""
        tried, spare = set(self.rows), None
        free = self.rng.random() < UNFILTERED
        for _ in range(PROPOSALS):
            config = self.draw()
            if self.task.table.find(config) in tried:
                continue
            if free or self.could(config):
                return config
            spare = spare or config
        return spare

    def could(self, config: Config) -> bool:
        """Whether the best error seen would gain at this cost."""
        cost, costs = self.task.log_cost(config), self.log_costs
        best = float(self.y.min())
        full = (self.task.corner[0] - costs.min()) * (self.task.corner[1] - best)
        before = staircase.hypervolume(costs, self.y, self.task.corner)
        after = staircase.hypervolume(np.append(costs, cost), np.append(self.y, best), self.task.corner)
        return bool(after - before > 1e-3 * max(full - before, 0.0))


class IsotonicTPE(TPE):
    """Of 16 proposals of TPE the one with the largest expected improvement under an isotonic error in cost."""

    def ask(self) -> Config | None:
        """The best of the proposals."""
        table = self.task.table
        drawn = {table.row(config): config for config in (self.draw() for _ in range(CHOSEN_FROM))}
        drawn = {row: config for row, config in drawn.items() if row not in self.rows}
        if not drawn:
            return None
        rows = np.fromiter(drawn, dtype=int)
        wanted = np.log(table.costs[rows])
        mean, spread = isotonic(self.log_costs, self.y, wanted)
        gain = staircase.expected(wanted, mean, np.full(len(rows), spread), (self.log_costs, self.y), self.task.corner)
        return drawn[int(rows[int(np.argmax(gain))])]
