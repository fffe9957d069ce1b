"""Syne Tune's own MOASHA, as it stands in 0.16.

Its ranking is not the paper's: `NonDominatedPriority` returns the indices of the items in sorted order where
`Bracket.on_result` expects the rank of each item, so that a trial that dominates all others can be stopped. Arm
`moasha` follows the paper; this one shows what a user of the package gets.
"""

from __future__ import annotations

import warnings
from datetime import datetime

from autoreg.errors import InputError
from benchmarks.tables.arms import Task
from benchmarks.tables.arms.simple import Random
from benchmarks.tables.table import Config, Key, key_of

try:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from syne_tune.backend.trial_status import Trial
        from syne_tune.optimizer.scheduler import SchedulerDecision
        from syne_tune.optimizer.schedulers.multiobjective.moasha import MOASHA
except ModuleNotFoundError as error:
    raise InputError("arm 'moasha_syne' needs `pip install -r benchmarks/peers.txt`") from error


class SyneMOASHA(Random):
    """Even draws, stopped by the package's scheduler with its defaults (eta 3, rungs 1, 3, 9, ...)."""

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        steps = 1 if task.table.curves is None else task.table.curves.shape[2]
        self.scheduler = MOASHA(
            config_space={}, metrics=["error", "log_cost"], time_attr="step", max_t=steps, random_seed=task.seed
        )
        self.trials: dict[Key, Trial] = {}

    def report(self, config: Config, step: int, steps: int, error: float) -> bool:
        """Whether the scheduler stops the trial."""
        key = key_of(config)
        if key not in self.trials:
            self.trials[key] = Trial(len(self.trials), config, datetime(2021, 1, 1))
            self.scheduler.on_trial_add(self.trials[key])
        said = self.scheduler.on_trial_result(self.trials[key], self._result(config, step, error))
        return bool(said == SchedulerDecision.STOP)

    def stopped(self, config: Config, error: float, cost: float) -> None:
        """Hand the trial back."""
        self.scheduler.on_trial_remove(self.trials[key_of(config)])

    def tell(self, config: Config, error: float, cost: float) -> None:
        """Close a trial that ran to its end."""
        super().tell(config, error, cost)
        result = self._result(config, self.scheduler.max_t, error)
        self.scheduler.on_trial_complete(self.trials[key_of(config)], result)

    def _result(self, config: Config, step: int, error: float) -> dict[str, float]:
        return {"step": step, "error": error, "log_cost": self.task.log_cost(config)}
