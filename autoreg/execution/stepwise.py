"""An objective that is resumed from one report to the next, for executors that call a step at a time."""

from __future__ import annotations

import os
import queue
import threading
from dataclasses import dataclass

from autoreg.engine.log.trial import Ask, Result
from autoreg.execution.base import Evaluate, failure, run_one


@dataclass(frozen=True)
class ReportedStep:
    """What an objective reported: metrics after `step` units of work."""

    step: int
    metrics: dict[str, float]


class StepwiseTrial:
    """One trial in a thread of its own, which waits at every report for the decision.

    Args:
        evaluate: The objective.
        ask: The trial.
        cache: Folder of `trial.cached`; None keeps values in this process.
    """

    def __init__(self, evaluate: Evaluate, ask: Ask, cache: str | os.PathLike[str] | None = None) -> None:
        self._messages: queue.SimpleQueue[ReportedStep | Result] = queue.SimpleQueue()
        self._decisions: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._waits = False
        self._thread = threading.Thread(target=self._run, args=(evaluate, ask, cache), daemon=True)

    def resume(self, decision: str = "continue") -> ReportedStep | Result:
        """Go on to the next report or to the end, with the decision on the last report."""
        if self._waits:
            self._decisions.put(decision)
        else:
            self._thread.start()
        message = self._messages.get()
        self._waits = isinstance(message, ReportedStep)
        return message

    def abandon(self) -> None:
        """End a trial that waits for a decision which will not come; its result is dropped."""
        if self._waits:
            self._decisions.put(None)
            self._thread.join(1.0)
            self._waits = False

    def _send(self, step: int, metrics: dict[str, float]) -> str:
        self._messages.put(ReportedStep(step, metrics))
        decision = self._decisions.get()
        if decision is None:
            raise _Abandoned
        return decision

    def _run(self, evaluate: Evaluate, ask: Ask, cache: str | os.PathLike[str] | None) -> None:
        try:
            self._messages.put(run_one(evaluate, ask, self._send, cache=cache))
        except _Abandoned:
            return
        except BaseException as error:  # a thread must not end without a message: `resume` waits for one
            self._messages.put(Result("FAIL", reason=failure(error)))


class _Abandoned(BaseException):
    """Unwinds an objective whose trial was abandoned."""
