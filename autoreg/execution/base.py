"""What the executors have in common: the contract with an engine, and how one trial becomes one result."""

from __future__ import annotations

import copy
import os
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import cloudpickle

from autoreg.engine.log.events import finite
from autoreg.engine.log.trial import Ask, Result, Trial, as_numbers
from autoreg.errors import AutoregError, InputError
from autoreg.trial_info import TrialInfo

Evaluate = Callable[[dict[str, Any], Trial], Mapping[str, Any]]
"""An objective: `evaluate(config, trial)` returns metrics by name."""

Send = Callable[[int, dict[str, float]], str]
"""Takes a report to the engine, `send(step, metrics)`, and brings back "continue" or "stop"."""

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
TRACEBACK_CHARACTERS = 2000
MAX_EARLY_DEATHS = 3
"""Workers that die in a row before they have the objective, until the search gives up."""


class EngineLike(Protocol):
    """What an executor drives: `autoreg.engine.Engine`, or anything with these three methods."""

    def ask(self) -> Ask | None:
        """Return the next recipe; None when there is none, now or later."""

    def report(self, number: int, step: int, metrics: Mapping[str, float]) -> str:
        """Take metrics of a running trial; return "continue" or "stop"."""

    def tell(self, number: int, result: Result) -> Any:
        """Take the result of a trial."""


class StopTrial(Exception):
    """An objective may raise it to end its trial early: PRUNED, with the metrics of its last report."""


class WorkerError(AutoregError):
    """Workers cannot be started, so that no trial can run."""


def run_one(evaluate: Evaluate, ask: Ask, send: Send | None, *, cache: str | os.PathLike[str] | None = None) -> Result:
    """Carry one trial out, whatever happens in it.

    Args:
        evaluate: The objective. It gets a copy of the config.
        ask: The recipe.
        send: Takes reports to the engine; None where reports go nowhere.
        cache: Folder of `trial.cached`; None keeps values in this process.

    Returns:
        COMPLETE with the metrics as floats; PRUNED with partial metrics when the objective ended after the decision to
            stop, or raised `StopTrial` (or Optuna's `TrialPruned`); FAIL with a reason when it raised anything else or
        returned no metrics. `info` is the trial's own as plain JSON data, with `seconds`, and `traceback` if it failed.

    Raises:
        KeyboardInterrupt: As it came; the trial has no result.
    """
    trial = Trial(ask.number, ask.seed, send=send, cache=cache)
    begun = time.perf_counter()
    try:
        result = trial.outcome(evaluate(copy.deepcopy(ask.config), trial))
        metrics = as_numbers(result.metrics, "the result")
        state, reason = result.state, result.reason
    except (Exception, SystemExit) as error:
        if _is_stop(error):
            step, metrics = trial.reports[-1] if trial.reports else (0, {})
            state, reason = "PRUNED", f"stopped at step {step}"
        else:
            state, metrics, reason = "FAIL", {}, failure(error)
            trial.info.traceback = _tail(error)
    if trial.info.seconds is None:
        trial.info.seconds = round(time.perf_counter() - begun, 6)
    return Result(state, metrics, plain(trial.info), reason)


def failure(error: BaseException) -> str:
    """Say in one line why a trial failed; running out of memory is named as such."""
    kind, lines = type(error).__name__, str(error).strip().splitlines()
    text = f"{kind}: {lines[0]}" if lines else kind
    exhausted = isinstance(error, MemoryError) or kind == "OutOfMemoryError" or "can't allocate memory" in str(error)
    return f"out of memory ({text})" if exhausted else text


def plain(info: TrialInfo) -> TrialInfo:
    """Return the info of a trial as JSON can hold it; what it cannot hold is left out, and a note says so."""
    lost: list[str] = []

    def held(values: Mapping[str, Any], place: str) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, value in values.items():
            try:
                found[str(name)] = finite(value)
            except (TypeError, RecursionError):
                lost.append(f"{place}[{str(name)!r}] was left out: it holds something that is no JSON data")
        return found

    user = held(info.user, "info.user")
    own = held({name: value for name, value in info.to_dict().items() if name != "user"}, "info")
    found = TrialInfo.from_dict({**own, "user": user})
    found.notes += lost
    return found


def pack(evaluate: Evaluate) -> bytes:
    """Pickle an objective for workers; functions of the script itself and closures go by value.

    Raises:
        InputError: If something that it refers to cannot be pickled.
    """
    try:
        packed: bytes = cloudpickle.dumps(evaluate)
    except Exception as error:
        raise InputError(
            f"objective: it cannot be sent to a worker process ({failure(error)}); "
            "make what cannot be pickled (open files, locks, connections) inside the objective"
        ) from error
    return packed


def limit_threads(count: int) -> None:
    """Let numerical libraries of this process use `count` threads, those loaded later and PyTorch in any case."""
    for name in THREAD_VARIABLES:
        os.environ[name] = str(count)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(count)


class Progress:
    """Calls `on_event(engine)` a few times a second at most, and takes no more than a tenth of the time.

    Args:
        engine: What is handed on.
        on_event: The callback; None for none.
        seconds: Shortest time between two calls.
    """

    def __init__(self, engine: Any, on_event: Callable[[Any], object] | None, seconds: float = 0.25) -> None:
        self._engine, self._on_event, self._seconds = engine, on_event, seconds
        self._next = 0.0

    def __call__(self, *, now: bool = False) -> None:
        """Call `on_event` if it is time, or `now`."""
        begun = time.monotonic()
        if self._on_event is None or (begun < self._next and not now):
            return
        self._on_event(self._engine)
        ended = time.monotonic()
        self._next = ended + max(self._seconds, 10 * (ended - begun))


def _is_stop(error: BaseException) -> bool:
    """Whether an exception means that the trial ends early; Optuna's is known by name, to import no Optuna."""
    if isinstance(error, StopTrial):
        return True
    return any(kind.__name__ == "TrialPruned" for kind in type(error).__mro__)


def _tail(error: BaseException) -> str:
    """Return the end of a traceback, the frame of this module left out."""
    trace = error.__traceback__.tb_next if error.__traceback__ is not None else None
    text = "".join(traceback.format_exception(type(error), error, trace))
    return text[-TRACEBACK_CHARACTERS:]
