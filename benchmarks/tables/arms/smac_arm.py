"""SMAC3 with its random forest and ParEGO, under ask and tell. Flat spaces only.

Lindauer et al., "SMAC3: a versatile Bayesian optimization package", JMLR 2022; Knowles, "ParEGO", 2006.
"""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path

import numpy as np

from autoreg.errors import InputError
from autoreg.space.nodes import Range
from benchmarks.tables.arms import Base, Task
from benchmarks.tables.table import Config, Key, key_of

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from ConfigSpace import Categorical, Configuration, ConfigurationSpace, Float, Integer
    from smac import HyperparameterOptimizationFacade as Facade
    from smac import Scenario
    from smac.multi_objective.parego import ParEGO as Scalarized
    from smac.runhistory.dataclasses import TrialInfo, TrialValue


class ParEGO(Base):
    """Minimizes (error, log cost); the starts are given as a warm start, there is no initial design besides."""

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        space = ConfigurationSpace(seed=task.seed)
        for parameter in task.table.space.parameters:
            domain, path = parameter.domain, parameter.path
            if not isinstance(domain, Range):
                space.add(Categorical(path, list(domain)))
            elif domain.is_int:
                space.add(Integer(path, (int(domain.low), int(domain.high)), log=domain.is_log))
            else:
                space.add(Float(path, (domain.low, domain.high), log=domain.is_log))
        if any(set(task.table.space.flatten(c)) != set(space) for c in task.starts):
            raise InputError("arm 'parego': spaces with conditions are not carried over to ConfigSpace")
        self.space = space
        self.folder = tempfile.TemporaryDirectory()
        scenario = Scenario(
            space,
            output_directory=Path(self.folder.name),
            objectives=["error", "log_cost"],
            deterministic=True,
            n_trials=100_000,
            seed=task.seed,
        )
        self.smac = Facade(
            scenario,
            lambda config, seed=0: {"error": 0.0, "log_cost": 0.0},  # never called: ask and tell
            initial_design=Facade.get_initial_design(scenario, n_configs=0),
            intensifier=Facade.get_intensifier(scenario, max_config_calls=1),
            multi_objective_algorithm=Scalarized(scenario),
            logging_level=False,
            overwrite=True,
        )
        self.asked: dict[Key, TrialInfo] = {}

    def ask(self) -> Config | None:
        """SMAC's next configuration."""
        info = self.smac.ask()
        values = dict(info.config)
        plain = {p: v.item() if isinstance(v, np.generic) else v for p, v in values.items()}
        config: Config = self.task.table.space.unflatten(plain)
        self.asked[key_of(config)] = info
        return config

    def tell(self, config: Config, error: float, cost: float) -> None:
        """Tell SMAC."""
        super().tell(config, error, cost)
        info = self.asked.pop(key_of(config), None)
        if info is None:
            flat = dict(self.task.table.space.flatten(config))
            info = TrialInfo(config=Configuration(self.space, values=flat), seed=0)
        self.smac.tell(info, TrialValue(cost=[error, float(np.log(cost))]), save=False)
