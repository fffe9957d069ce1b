"""The local executor: trials in worker processes of this machine that are watched and replaced, no service."""

from __future__ import annotations

import os
from collections.abc import Callable
from multiprocessing.connection import wait
from typing import Any

from autoreg.engine.log.trial import Ask, Result
from autoreg.errors import InputError
from autoreg.execution.base import MAX_EARLY_DEATHS, EngineLike, Evaluate, Progress, WorkerError, pack, run_one
from autoreg.execution.interrupts import Interrupts
from autoreg.execution.pool import Pool, pool_for_run
from autoreg.execution.process import WorkerProcess

WAIT_SECONDS = 0.2


def run_local(
    engine: EngineLike,
    evaluate: Evaluate,
    *,
    workers: int = 1,
    on_event: Callable[[Any], object] | None = None,
    threads_per_trial: int = 1,
    stop: Callable[[], bool] | None = None,
    in_process: bool = False,
    cache: str | os.PathLike[str] | None = None,
) -> None:
    """Drive an engine with worker processes on this machine until it asks no more.

    With one worker the engine is called in this order: ask, reports, tell, ask, ... A worker that dies fails its
    trial and is replaced; within a `session` the others stay for the next run. The output of objectives goes where this
    process writes. Ctrl-C and SIGTERM end the workers at once and raise; trials under way get no result, so that a
    resumed study asks them again.

    Args:
        engine: What to drive.
        evaluate: The objective; it goes to each worker once. If it has a method `warm_up`, that is called there before
            the first trial.
        workers: Trials at a time, at least 1.
        on_event: Called as `on_event(engine)` a few times a second at most, and at the end.
        threads_per_trial: CPU threads of the numerical libraries in a worker, at least 1.
        stop: Asked now and then; once it is true nothing more is asked, and what runs is finished.
        in_process: Run the trials in this process, to debug them; one at a time.
        cache: Folder that `trial.cached` shares between workers; None keeps values in each worker's memory.

    Raises:
        InputError: If an argument is wrong or a worker cannot load the objective.
        WorkerError: If workers die before they have the objective.
        KeyboardInterrupt: On Ctrl-C or SIGTERM.
    """
    for name, value in (("workers", workers), ("threads_per_trial", threads_per_trial)):
        if not isinstance(value, int) or value < 1:
            raise InputError(f"{name}: found {value!r}; allowed are whole numbers from 1")
    if in_process and workers != 1:
        raise InputError(f"workers: found {workers} with in_process, which runs one trial at a time")
    progress = Progress(engine, on_event)
    if in_process:
        _run_here(engine, evaluate, progress, stop, cache)
    else:
        packed = pack(evaluate)
        with Interrupts() as interrupts, pool_for_run(workers, threads_per_trial) as pool:
            _Drive(engine, pool, packed, cache).drive(progress, stop, interrupts)
    progress(now=True)


def _run_here(
    engine: EngineLike,
    evaluate: Evaluate,
    progress: Progress,
    stop: Callable[[], bool] | None,
    cache: str | os.PathLike[str] | None,
) -> None:
    while not (stop is not None and stop()) and (ask := engine.ask()) is not None:

        def send(step: int, metrics: dict[str, float], ask: Ask = ask) -> str:
            progress()
            return engine.report(ask.number, step, metrics)

        result = run_one(evaluate, ask, send, cache=cache)
        engine.tell(ask.number, result)
        progress()


class _Drive:
    """One run: an engine, and the workers that it has for this time."""

    def __init__(self, engine: EngineLike, pool: Pool, packed: bytes, cache: str | os.PathLike[str] | None) -> None:
        self._engine, self._pool, self._workers = engine, pool, pool.workers
        self._packed, self._cache = packed, None if cache is None else os.path.abspath(cache)
        self._early = 0
        pool.prepare(packed, cache)

    def drive(self, progress: Progress, stop: Callable[[], bool] | None, interrupts: Interrupts) -> None:
        """Ask while a worker is free, take reports and results, until nothing is asked and nothing runs."""
        asking = True
        while True:
            for worker in self._workers:
                interrupts.check()
                asking = asking and not (stop is not None and stop())
                if asking and worker.ready and worker.ask is None:
                    ask = self._engine.ask()
                    asking = ask is not None
                    if ask is not None:
                        worker.begin(ask)
            if not asking and all(worker.ask is None for worker in self._workers):
                return
            readable = wait([worker.connection for worker in self._workers], WAIT_SECONDS)
            for worker in list(self._workers):
                interrupts.check()
                if worker.connection in readable:
                    self._on_message(worker, worker.receive())
                elif worker.died():
                    self._on_message(worker, None)
            progress()

    def _on_message(self, worker: WorkerProcess, message: tuple[Any, ...] | None) -> None:
        if message is None:
            self._replace(worker)
            return
        what, *content = message
        if what == "hello":
            worker.started = True
            worker.prepare(self._packed, self._cache)
        elif what == "ready":
            worker.ready, self._early = worker.is_last_load(content[0]), 0
        elif what == "broken" and worker.is_last_load(content[0]):
            raise InputError(
                f"objective: a worker process cannot load it ({content[1]}); "
                "what it refers to must be importable from the folders of sys.path, or defined in the script itself"
            )
        elif what == "report" and worker.ask is not None:
            step, metrics = content
            worker.send(self._engine.report(worker.ask.number, step, metrics))
        elif what == "result" and worker.ask is not None:
            ask, worker.ask = worker.ask, None
            self._engine.tell(ask.number, content[0])

    def _replace(self, worker: WorkerProcess) -> None:
        why = worker.death()
        self._workers.remove(worker)
        if worker.ask is not None:
            self._engine.tell(worker.ask.number, Result("FAIL", reason=why))
        if not worker.ready:
            self._early += 1
            if self._early >= MAX_EARLY_DEATHS:
                raise WorkerError(f"{why}, before it had loaded the objective; so did {MAX_EARLY_DEATHS} in a row")
        self._pool.fill()
