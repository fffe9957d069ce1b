"""A lock between processes: many may train at once, but nothing trains while latency is timed."""

from __future__ import annotations

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

    def _open(self, suffix: str) -> IO[bytes]:
        """Open a lock file; closing it gives the lock back, also when the process is killed."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        return open(f"{self.path}{suffix}", "ab")

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
