"""The live space: 37 conditional dimensions, most of the rates continuous, and real short runs of its recipes.

The task is scikit-learn's digits with 200 training images and a network of width 8, ten epochs: under a second a trial.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import time
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from autoreg.space import Space
from autoreg.trial.loop import NonFiniteLossError
from autoreg.trial.objective import TaskObjective
from autoreg.trial.setup import TrialOptions
from autoreg.trial.task_ref import TaskRef
from autoreg.trial_info import TrialInfo
from benchmarks.tables.table import Config, key_of

TASK, PARAMS = "digits", {"train_images": 200, "width": 8}
KEY_DIGITS = 12
MOST_STORED = 5000
GRADUAL = {"gradual": {"start": {"uniform": [0.0, 0.4]}, "end": {"uniform": [0.6, 1.0]}}}
SPACE: dict[str, Any] = {
    "regularizer": [
        "none",
        {"l1": {"strength": {"log": [0.1, 30]}}},
        {
            "group_lasso": {
                "strength": {"log": [0.1, 30]},
                "group": "filter",
                "step": ["subgradient", "proximal"],
            }
        },
        {"orthogonality": {"strength": {"log": [0.1, 100]}}},
        {"activation_kurtosis": {"strength": {"log": [1e-4, 1e-1]}}},
        {"label_smoothing": {"theta": {"uniform": [0.02, 0.3]}, "switch_off": {"uniform": [0.5, 1.0]}}},
        {"sam": {"rho": {"log": [0.01, 0.5]}}},
    ],
    "noise": [
        "none",
        {"dropout": {"rate": {"uniform": [0.05, 0.5]}, "place": "penultimate"}},
        {"cutout": {"share": {"uniform": [0.1, 0.6]}}},
    ],
    "sparsity": [
        "none",
        {
            "weight": {
                "criterion": ["magnitude", "wanda"],
                "allocation": "each_layer",
                "amount": {
                    "per_layer": {
                        "blocks.[01].*": {"uniform": [0.1, 0.95]},
                        "blocks.[23].*": {"uniform": [0.1, 0.98]},
                        "*": {"uniform": [0.0, 0.8]},
                    }
                },
                "schedule": ["one_shot", GRADUAL],
            }
        },
        {
            "channel": {
                "criterion": ["magnitude", "taylor"],
                "allocation": ["uniform", "global"],
                "amount": {"uniform": [0.1, 0.7]},
                "schedule": ["one_shot", "gradual"],
                "round_to": 1,
            }
        },
        {"low_rank": {"rank": {"budget": {"amount": {"uniform": [0.1, 0.8]}}}}},
    ],
    "quantization": {
        "quantizer": ["rtn", "lsq"],
        "weights": {"bits": {"per_layer": {"blocks.*": [2, 3, 4, 6, 8, 32], "*": [4, 8, 32]}}},
        "activations": {"bits": [4, 6, 8, 32]},
    },
    "layers": {"drop": ["none", {"last": {"count": {"int": [1, 2]}}}]},
    "training": {
        "start": ["scratch", "pretrained"],
        "lr": {"log": [0.01, 0.5]},
        "weight_decay": {"log": [1e-5, 3e-2]},
        "momentum": {"uniform": [0.7, 0.98]},
        "schedule": ["cosine", "constant_cooldown"],
        "epochs": 10,
        "finetune_epochs": {"int": [0, 5]},
        "qat_epochs": 1,
    },
}
DENSE: Config = {
    "regularizer": "none",
    "noise": "none",
    "sparsity": "none",
    "quantization": {
        "quantizer": "rtn",
        "weights": {"bits": {"per_layer": {"blocks.*": 32, "*": 32}}},
        "activations": {"bits": 32},
    },
    "layers": {"drop": "none"},
    "training": {
        "start": "scratch",
        "lr": 0.05,
        "weight_decay": 5e-4,
        "momentum": 0.9,
        "schedule": "cosine",
        "epochs": 10,
        "finetune_epochs": 0,
        "qat_epochs": 1,
    },
}
DIGEST = hashlib.sha256(json.dumps([TASK, PARAMS, SPACE], sort_keys=True).encode()).hexdigest()[:16]
"""Of task and space: trials of another one are of no use."""


def space() -> Space:
    """The space."""
    return Space.from_dict(SPACE, name="live")


@dataclass(frozen=True)
class Tried:
    """A finished run.

    Attributes:
        validation: error; that of chance where the loss became infinite.
        test: error on the test set.
        seconds: of a processor, by the phases that were carried out; those taken from the store are missing.
        diverged: whether the loss became infinite.
    """

    validation: float
    test: float
    seconds: Mapping[str, float]
    diverged: bool = False


@dataclass
class _Reports:
    """Takes reports, and never stops a trial."""

    seed: int

    def __post_init__(self) -> None:
        self.info = TrialInfo()

    def report(self, step: int, metrics: Mapping[str, float]) -> None:
        """Nothing is done with it."""

    def should_stop(self) -> bool:
        """Never."""
        return False


class Digits:
    """The task: known costs, phases, and real runs, as the workers of a study carry them out.

    Recipes that share a phase find it in a temporary store, which goes with this object.
    """

    def __init__(self) -> None:
        store = tempfile.mkdtemp()
        weakref.finalize(self, shutil.rmtree, store, ignore_errors=True)
        self._complete: dict[Any, Mapping[str, Any]] = {}
        self.objective = TaskObjective(
            TaskRef(TASK, PARAMS), TrialOptions(store, device="cpu", threads=1), latency=False, rungs=False
        )

    @cached_property
    def chance(self) -> float:
        """Error of guessing."""
        return float(self.objective.setup.task.chance)

    def complete(self, config: Mapping[str, Any]) -> Mapping[str, Any]:
        """The whole recipe; cached, since checking it is half the time that costs and phases take."""
        key = key_of(config)
        if key not in self._complete:
            if len(self._complete) >= MOST_STORED:
                self._complete.clear()
            self._complete[key] = self.objective.setup.complete(config)
        return self._complete[key]

    def costs(self, config: Mapping[str, Any]) -> dict[str, float]:
        """All known costs, exact."""
        return self.objective.costs(self.complete(config))

    def phases(self, config: Mapping[str, Any]) -> list[tuple[str, str, float]]:
        """Name, key and weighted epochs of each phase, in order; keys know nothing of seeds."""
        phases = self.objective.phases(self.complete(config))
        return [(phase.name, phase.key[:KEY_DIGITS], float(phase.epochs)) for phase in phases]

    def run(self, config: Mapping[str, Any], seed: int) -> Tried:
        """Train, compress and score."""
        quality, reports = self.objective.setup.task.quality, _Reports(seed)
        recipe = self.complete(config)
        wall, used = time.perf_counter(), time.process_time()
        try:
            found = self.objective.evaluate(recipe, reports, test=True)
        except NonFiniteLossError:
            return Tried(self.chance, self.chance, {}, diverged=True)
        busy = (time.process_time() - used) / max(time.perf_counter() - wall, 1e-9)
        seconds = {name: busy * took for name, took in reports.info.phase_seconds.items()}
        return Tried(float(found[quality]), float(reports.info.test_metrics["test"][quality]), seconds)
