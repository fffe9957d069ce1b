"""A lock between processes: many may train at once, but nothing trains while latency is timed."""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

try:
    import fcntl
except ImportError:  # pragma: no cover - a platform without advisory file locks
    fcntl = None  # type: ignore[assignment]

_held: dict[tuple[str, int], str] = {}  # (path, thread) -> mode: a thread that waits for itself would wait for ever


@contextmanager
def unlocked_after(file: IO[bytes]) -> Iterator[None]:
    """Give the lock on an open file back at the end.

    Closing is not enough: a process that was forked meanwhile has the file open too, and would keep its lock. Such a
    process itself gives nothing back.
    """
    process = os.getpid()
    try:
        yield
    finally:
        if fcntl is not None and os.getpid() == process:
            fcntl.flock(file, fcntl.LOCK_UN)


class MeasureLock:
    """Advisory lock on a file, with two modes.

    Workers hold `shared()` for an epoch at a time; whoever times holds `exclusive()`. A second file is a
    turnstile: the timer closes it while it waits, so that workers, which always come back, cannot starve it.
    Without file locks on the platform it does nothing, and says so once.

    Args:
        path: The lock's file; the turnstile stands beside it. Both are made when needed and may stay.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    @contextmanager
    def shared(self) -> Iterator[None]:
        """Hold the lock with others; inside a lock that this thread holds already it does nothing."""
        if fcntl is None or self._mode() is not None:
            self._missing()
            yield
            return
        with self._open("") as main:
            with self._open(".turnstile") as turnstile:
                fcntl.flock(turnstile, fcntl.LOCK_EX)
                fcntl.flock(main, fcntl.LOCK_SH)
            with self._marked("shared"):
                yield

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Hold the lock alone.

        Raises:
            RuntimeError: When this thread holds `shared()`: it would wait for itself.
        """
        if self._mode() == "shared":
            raise RuntimeError(f"{self.path}: this thread holds the shared lock and would wait for itself")
        if fcntl is None or self._mode() is not None:
            self._missing()
            yield
            return
        with self._open(".turnstile") as turnstile, self._open("") as main:
            fcntl.flock(turnstile, fcntl.LOCK_EX)
            fcntl.flock(main, fcntl.LOCK_EX)
            with self._marked("exclusive"):
                yield

    @contextmanager
    def _open(self, suffix: str) -> Iterator[IO[bytes]]:
        """Open a lock file; the system gives its lock back when the process is killed."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with open(f"{self.path}{suffix}", "ab") as file, unlocked_after(file):
            yield file

    def _key(self) -> tuple[str, int]:
        return str(self.path.absolute()), threading.get_ident()

    def _mode(self) -> str | None:
        return _held.get(self._key())

    @contextmanager
    def _marked(self, mode: str) -> Iterator[None]:
        _held[self._key()] = mode
        try:
            yield
        finally:
            del _held[self._key()]

    @staticmethod
    def _missing() -> None:
        if fcntl is None:
            warnings.warn("this platform has no file locks: latency is timed while trials may run", stacklevel=3)
