"""What runs in a Ray actor: an objective behind Tune's class interface, one `step()` per report."""

from __future__ import annotations

import contextlib
import os
import pickle
import sys
from dataclasses import dataclass
from typing import Any

import ray
from ray import tune

from autoreg.engine.log.trial import Ask
from autoreg.execution.base import failure, limit_threads
from autoreg.execution.stepwise import ReportedStep, StepwiseTrial

MESSAGE_KEY = "autoreg"
"""Key under which a step's result holds the message of the objective: a `ReportedStep`, a `Result` or a `Broken`."""


@dataclass(frozen=True)
class Shipment:
    """What every actor gets once.

    Attributes:
        evaluate: The pickled objective.
        folders: The driver's `sys.path`.
        home: The driver's working folder; where a node has it, relative paths mean the same.
        threads: CPU threads of numerical libraries.
        cache: Folder of `trial.cached`.
    """

    evaluate: bytes
    folders: tuple[str, ...]
    home: str
    threads: int
    cache: str | None


@dataclass(frozen=True)
class Broken:
    """The objective cannot be loaded in an actor."""

    why: str


class ObjectiveActor(tune.Trainable):
    """Evaluates one trial after the other. Its config: `ask` (pickled) and `shipment` (in the object store)."""

    def setup(self, config: dict[str, Any]) -> None:
        """Load the objective, before anything that it needs is imported."""
        shipment: Shipment = ray.get(config["shipment"])
        limit_threads(shipment.threads)
        sys.path.extend(folder for folder in shipment.folders if folder not in sys.path)
        with contextlib.suppress(OSError):
            os.chdir(shipment.home)
        self._cache = shipment.cache
        self._broken: Broken | None = None
        self._stepwise: StepwiseTrial | None = None
        self._decision = "continue"
        try:
            self._evaluate = pickle.loads(shipment.evaluate)
        except BaseException as error:
            self._broken = Broken(failure(error))
        self._begin(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take the next trial."""
        self._begin(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """Go on to the next report or to the end."""
        if self._broken is not None or self._stepwise is None:
            return {MESSAGE_KEY: self._broken or Broken("it was not set up"), "done": True}
        decision, self._decision = self._decision, "continue"
        message = self._stepwise.resume(decision)
        sys.stdout.flush()
        return {MESSAGE_KEY: message, "done": not isinstance(message, ReportedStep)}

    def decide(self, decision: str) -> None:
        """Take the engine's answer to the last report; Ray delivers it before the `step()` that is called after it."""
        self._decision = decision

    def cleanup(self) -> None:
        """End with the actor."""
        if self._stepwise is not None:
            self._stepwise.abandon()

    def _begin(self, config: dict[str, Any]) -> None:
        self.cleanup()
        self._decision = "continue"
        if self._broken is None:
            ask: Ask = pickle.loads(config["ask"])
            self._stepwise = StepwiseTrial(self._evaluate, ask, self._cache)
