"""Objectives and engines that the tests of the executors share; workers import this module."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from autoreg.engine import Budget, Engine, EventLog, Halving, Result
from autoreg.space import Space
from tests.engine.problems import flat_settings
from tests.execution.gates import Address, wait_at

OBJECTIVES = {"error": "min", "cost": "min"}
SPACE = {
    "x": {"uniform": [0, 1]},
    "bits": [2, 4, 8],
    "regularizer": ["none", {"l1": {"strength": {"log": [1e-5, 1e-1]}}}],
}
EPOCHS = 9


class Recorded(Engine):
    """The real engine, which notes how it was called."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.calls: list[tuple[str, int]] = []

    def ask(self) -> Any:
        ask = super().ask()
        self.calls.append(("ask", -1 if ask is None else ask.number))
        return ask

    def report(self, number: int, step: int, metrics: Mapping[str, float]) -> Any:
        self.calls.append(("report", number))
        return super().report(number, step, metrics)

    def tell(self, number: int, result: Result) -> Any:
        self.calls.append(("tell", number))
        return super().tell(number, result)


def make_engine(trials: int, path: Path | None = None, *, kind: type[Recorded] = Recorded, **settings: Any) -> Recorded:
    settings = {"prune": False, "seed": 3, "costs": cost, **settings}
    log = EventLog(path) if path is not None else None
    settings |= {"budget": Budget(trials=trials), "log": log}
    return kind(**flat_settings(Space.from_dict(SPACE), OBJECTIVES, **settings))


def halving() -> Halving:
    """Stops early and often: nine steps, rungs at 1, 2 and 4."""
    return Halving(eta=2.0, min_reports=2, window=8, audit=0.0)


def outcomes(engine: Engine) -> list[tuple[Any, ...]]:
    """What a search came to, times left out."""
    records = engine.trials()
    return [(record.number, record.config, record.state, record.metrics, record.reason) for record in records]


def cost(config: dict[str, Any]) -> dict[str, float]:
    return {"cost": config["bits"] * (1.1 - config["x"])}


def error(config: dict[str, Any]) -> float:
    penalty = 0.02 if config["regularizer"] == "none" else config["regularizer"]["l1"]["strength"]
    return float((config["x"] - 0.3) ** 2 + 0.1 / config["bits"] + penalty)


def simple(config: dict[str, Any], trial: Any) -> dict[str, float]:
    return {"error": error(config)}


def curve(config: dict[str, Any], trial: Any) -> dict[str, float]:
    """Reports its way down to the error; says in its record how far it came."""
    now = 0.9
    for step in range(1, EPOCHS + 1):
        now = error(config) + (0.9 - error(config)) * 0.5**step
        trial.info.epochs_run = step
        trial.report(step, {"error": now})
        if trial.should_stop():
            break
    return {"error": now, "after": float(step)}


class Dies:
    """Ends its process in one trial, in a way of one's choice."""

    def __init__(self, number: int, how: str) -> None:
        self.number, self.how = number, how

    def __call__(self, config: dict[str, Any], trial: Any) -> dict[str, float]:
        if trial.number == self.number:
            if self.how == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            if self.how == "segfault":
                os.kill(os.getpid(), signal.SIGSEGV)
            if self.how == "exit":
                os._exit(7)
            if self.how == "child":  # a grandchild keeps the worker's files open
                subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"], close_fds=False)
                os.kill(os.getpid(), signal.SIGKILL)
            if self.how == "raise":
                raise RuntimeError("the 4th layer is too small\nmore about it")
            if self.how == "memory":
                raise MemoryError
            if self.how == "sys.exit":
                sys.exit(2)
        return simple(config, trial)


class Hangs:
    """Arrives with its process at a gate from trial `number` on, and stays there."""

    def __init__(self, gate: Address, number: int) -> None:
        self.gate, self.number = gate, number

    def __call__(self, config: dict[str, Any], trial: Any) -> dict[str, float]:
        if trial.number >= self.number:
            wait_at(self.gate, trial.number, str(os.getpid()))
        return simple(config, trial)


class ExitsOnLoad:
    """Ends the process that unpickles it."""

    def __reduce__(self) -> tuple[Callable[[int], Any], tuple[int]]:
        return os._exit, (3,)

    def __call__(self, config: dict[str, Any], trial: Any) -> dict[str, float]:
        return {}


class RaisesOnLoad(ExitsOnLoad):
    """Cannot be unpickled."""

    def __reduce__(self) -> tuple[Callable[[str], Any], tuple[str]]:  # type: ignore[override]
        return __import__, ("a_module_that_is_nowhere",)


def alive(pid: int) -> bool:
    """Whether a process runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
