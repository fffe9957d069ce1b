"""Worker processes that stay from one run to the next: a study's search, its fresh seeds and its baselines share them.

What a process has imported and built (torch, a task's data, what is known of its network) is then paid for once.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from types import TracebackType

from autoreg.execution.process import WorkerProcess, close


class Pool:
    """Worker processes, all of them free between two runs.

    Args:
        count: how many.
        threads: CPU threads of the numerical libraries in each.

    Attributes:
        workers: those that are there; a run replaces what died.
    """

    def __init__(self, count: int, threads: int) -> None:
        self.count, self.threads = count, threads
        self.workers: list[WorkerProcess] = []

    def __enter__(self) -> Pool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        close(self.workers, prompt=kind is not None)
        self.workers.clear()

    def fill(self) -> None:
        """Start the processes that are missing."""
        while len(self.workers) < self.count:
            self.workers.append(WorkerProcess(self.threads))

    def prepare(self, packed: bytes, cache: str | os.PathLike[str] | None) -> None:
        """Have all workers load an objective."""
        folder = None if cache is None else os.path.abspath(cache)
        for worker in self.workers:
            worker.prepare(packed, folder)

    def drop_busy(self) -> None:
        """End at once those that are at a trial whose result nobody waits for."""
        busy = [worker for worker in self.workers if worker.ask is not None]
        self.workers[:] = [worker for worker in self.workers if worker.ask is None]
        close(busy, prompt=True)


_open: list[Pool] = []
"""The pools of the sessions that are open, the innermost last."""


@contextlib.contextmanager
def open_pool(count: int, threads: int) -> Iterator[Pool]:
    """Keep a pool for all runs within, and start its processes."""
    with Pool(count, threads) as pool:
        pool.fill()
        _open.append(pool)
        try:
            yield pool
        finally:
            _open.remove(pool)


@contextlib.contextmanager
def pool_for_run(count: int, threads: int) -> Iterator[Pool]:
    """The pool of the session that is open, if it is such a one; else one for this run alone."""
    shared = next((pool for pool in reversed(_open) if (pool.count, pool.threads) == (count, threads)), None)
    if shared is None:
        with Pool(count, threads) as pool:
            pool.fill()
            yield pool
        return
    try:
        shared.fill()
        yield shared
    finally:
        shared.drop_busy()
