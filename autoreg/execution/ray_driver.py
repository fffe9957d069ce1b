"""The driver's side of Ray Tune: a searcher, a scheduler and a callback that hand everything to one engine.

Tune copies and pickles such objects for its own restore, which is never used here; they refuse to be
copied, and pickle empty.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import ray
from ray.tune import Callback
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from autoreg.engine.log.trial import Result
from autoreg.errors import InputError
from autoreg.execution.base import MAX_EARLY_DEATHS, EngineLike, Progress, WorkerError
from autoreg.execution.interrupts import Interrupts
from autoreg.execution.ray_trial import MESSAGE_KEY, Broken
from autoreg.execution.stepwise import ReportedStep

CAUSE_CHARACTERS = 300


class Halt(Exception):
    """Ends Tune's loop from within."""


class Driver:
    """Stands between Tune's hooks and the engine; remembers which of Tune's trials is which of ours.

    Tune would take an exception of the engine for a failed trial: it is stored in `error` instead,
    and the run halts.

    Args:
        engine: What is driven.
        shipment: What the actors get, in Ray's object store.
        progress: Called once per turn of Tune's loop.
        interrupts: Signals that were caught.
    """

    def __init__(self, engine: EngineLike, shipment: Any, progress: Progress, interrupts: Interrupts) -> None:
        self._engine, self._shipment, self._progress, self._interrupts = engine, shipment, progress, interrupts
        self.error: BaseException | None = None
        self.actors: dict[str, Any] = {}
        self._numbers: dict[str, int] = {}
        self._reasons: dict[str, str] = {}
        self._early = 0

    @property
    def halting(self) -> bool:
        """Whether the run is to end without another call of the engine."""
        return self.error is not None or self._interrupts.caught != 0

    def suggest(self, trial: str) -> dict[str, Any] | str:
        """Ask the engine; Tune's marker of the end is returned when there is nothing more."""
        ask = None if self.halting else self._guard(self._engine.ask)
        if ask is None:
            return str(Searcher.FINISHED)
        self._numbers[trial] = ask.number
        return {"ask": pickle.dumps(ask), "shipment": self._shipment}

    def started(self, trial: str, actor: Any) -> None:
        """Remember the actor of a trial."""
        self.actors[trial] = actor
        self._early = 0

    def reported(self, trial: str, message: Any, actor: Any) -> None:
        """Take a report to the engine and the decision to the actor.

        A stop goes to the objective, not to Tune: what it returns after that (its costs, the epochs
        it ran) is part of the result.
        """
        if isinstance(message, ReportedStep) and not self.halting:
            decision = self._guard(lambda: self._engine.report(self._numbers[trial], message.step, message.metrics))
            if decision == "stop":
                actor.decide.remote(decision)

    def failed(self, trial: str, text: str) -> None:
        """Remember why Tune lost a trial."""
        self._reasons[trial] = f"worker died, or its node was lost: {cause(text)}"
        if trial not in self.actors:
            self._early += 1

    def ended(self, trial: str, message: Any, error: bool) -> None:
        """Tell the engine how a trial ended; nothing while halting, so that a resumed study asks it again."""
        self.actors.pop(trial, None)
        number = self._numbers.pop(trial, None)
        if self.halting or number is None:
            return
        if isinstance(message, Broken):
            self.error = InputError(
                f"objective: a Ray worker cannot load it ({message.why}); what it refers to must be installed on every "
                "node, or defined in the script itself"
            )
        elif isinstance(message, Result):
            self._guard(lambda: self._engine.tell(number, message))
        elif error:
            reason = self._reasons.pop(trial, "worker died, or its node was lost")
            self._guard(lambda: self._engine.tell(number, Result("FAIL", reason=reason)))
            if self._early >= MAX_EARLY_DEATHS and self.error is None:
                self.error = WorkerError(f"{reason}, before it had begun; so did {MAX_EARLY_DEATHS} in a row")

    def on_step_end(self) -> None:
        """Once per turn of Tune's loop: show progress, or halt.

        Raises:
            Halt: If the run is to end.
        """
        if not self.halting:
            self._guard(self._progress)
        if self.halting:
            for actor in self.actors.values():
                ray.kill(actor)
            raise Halt

    def _guard(self, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except BaseException as error:
            self.error = self.error or error
            return None


def cause(text: str) -> str:
    """Return what matters of Ray's account of a failure: its last line, without the advice."""
    lines = text.strip().splitlines()
    line = lines[-1].strip() if lines else "Ray does not say why"
    return line.split(" Some common causes")[0][:CAUSE_CHARACTERS]


class _Driven:
    """Holds the driver, and never lets a copy of it be made."""

    _driver: Driver

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return self

    def __getstate__(self) -> dict[str, Any]:
        return {}


class EngineSearcher(_Driven, Searcher):
    """Tune's searcher: every suggestion is what the engine asks."""

    def __init__(self, driver: Driver) -> None:
        super().__init__()
        self._driver = driver

    def suggest(self, trial_id: str) -> Any:
        """Ask."""
        return self._driver.suggest(trial_id)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Tell."""
        self._driver.ended(trial_id, (result or {}).get(MESSAGE_KEY), error)

    def save_to_dir(self, checkpoint_dir: str, session_str: str = "default") -> None:
        """Nothing: the engine's log is the truth."""

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the engine's log is the truth."""

    def restore(self, checkpoint_path: str) -> None:
        """Refuse: a study resumes from its log, and Tune's restore executes pickles."""
        raise NotImplementedError("a study resumes from its event log, never from Tune's files")


class EngineScheduler(_Driven, FIFOScheduler):
    """Tune's scheduler: every report is decided by the engine."""

    def __init__(self, driver: Driver) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._driver = driver

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Report; the trial goes on in any case, and gets the decision."""
        self._driver.reported(trial.trial_id, result.get(MESSAGE_KEY), trial.temporary_state.ray_actor)
        return TrialScheduler.CONTINUE

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        """Note why a trial was lost, as Tune has written it into the trial's folder."""
        try:
            text = Path(trial.error_file).read_text(encoding="utf-8")
        except (OSError, TypeError):
            text = ""
        self._driver.failed(trial.trial_id, text)


class EngineCallback(_Driven, Callback):
    """Tune's callback: knows the actors, and turns with the loop."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver

    def on_trial_start(self, iteration: int, trials: Sequence[Any], trial: Any, **info: Any) -> None:
        """Remember the actor."""
        self._driver.started(trial.trial_id, trial.temporary_state.ray_actor)

    def on_step_end(self, iteration: int, trials: Sequence[Any], **info: Any) -> None:
        """Show progress, or halt."""
        self._driver.on_step_end()
