"""Two ways to drive the same engine: `local`, worker processes of this machine, and `ray`, a cluster."""

from __future__ import annotations

import contextlib
import difflib
import inspect
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from autoreg.errors import InputError
from autoreg.execution.base import EngineLike, Evaluate, StopTrial, WorkerError, pack, run_one
from autoreg.execution.local import run_local
from autoreg.execution.pool import open_pool
from autoreg.lazy import lazy_module
from autoreg.space.study_spec import EXECUTORS

if TYPE_CHECKING:
    from autoreg.execution import ray_tune
else:  # it subclasses classes of Ray, whose import takes 2 seconds
    ray_tune = lazy_module("autoreg.execution.ray_tune")

__all__ = ["EXECUTORS", "EngineLike", "Evaluate", "StopTrial", "WorkerError", "run", "run_local", "run_one", "session"]


def run(engine: EngineLike, evaluate: Evaluate, executor: str = "local", **options: Any) -> None:
    """Drive an engine with an executor until it asks no more.

    Args:
        engine: What to drive.
        evaluate: The objective.
        executor: "local" or "ray".
        **options: As `run_local` or `run_ray` takes them: workers, on_event, ...

    Raises:
        InputError: If there is no such executor, or it has no such option.
        KeyboardInterrupt: On Ctrl-C or SIGTERM; trials with a result are stored.
    """
    _driver(executor, options)(engine, evaluate, **options)


@contextlib.contextmanager
def session(executor: str = "local", evaluate: Evaluate | None = None, **options: Any) -> Iterator[None]:
    """Keep what an executor needs through several calls of `run`: Ray starts once, not with each, and so do workers.

    Args:
        executor: "local" or "ray".
        evaluate: What will be evaluated first: local workers load it meanwhile.
        **options: As `run` takes them.

    Raises:
        InputError: As `run` does.
    """
    _driver(executor, options)
    if executor == "local":
        with open_pool(options.get("workers", 1), options.get("threads_per_trial", 1)) as pool:
            if evaluate is not None:
                pool.prepare(pack(evaluate), options.get("cache"))
            yield
        return
    with ray_tune.connected(**options):
        yield


def _driver(executor: str, options: dict[str, Any]) -> Any:
    if executor == "local":
        drive: Any = run_local
    elif executor == "ray":
        drive = ray_tune.run_ray
    else:
        raise InputError(f"executor: found {executor!r}{_nearest(executor, EXECUTORS)}")
    allowed = [name for name, p in inspect.signature(drive).parameters.items() if p.kind is p.KEYWORD_ONLY]
    for name in options:
        if name not in allowed:
            raise InputError(f"executor {executor!r}: it has no option {name!r}{_nearest(name, allowed)}")
    return drive


def _nearest(found: str, allowed: Any) -> str:
    near = difflib.get_close_matches(found, allowed, 1)
    text = f"; allowed are {', '.join(allowed)}"
    return f"{text}. Did you mean {near[0]!r}?" if near else text
