"""Locks between processes. The system gives a lock back when its holder dies, by `kill -9` too."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, ReadWriteLock

_held: dict[tuple[str, int], str] = {}  # (path, thread) -> mode: a thread that waits for itself would wait for ever


def take_lock(path: Path) -> FileLock:
    """Take the lock of a file at once; `release()` gives it back.

    Args:
        path: the lock's file, which may stay; its folder must be there. No file that others read: where locks are
            mandatory (Windows) they could not.

    Raises:
        filelock.Timeout: another process, or another holder in this one, has it.
        OSError: the file cannot be written, or its file system has no locks.
    """
    lock = FileLock(path, thread_local=False)
    lock.acquire(blocking=False)
    return lock


@contextlib.contextmanager
def hold_lock(path: Path) -> Iterator[None]:
    """Wait for the lock of a file and hold it; without one where there is none to be had.

    That is where its folder cannot be written, or the file system has no locks: at worst, work is done twice.

    Args:
        path: the lock's file, which may stay; its folder is made where it is missing.
    """
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            stack.enter_context(FileLock(path))
        yield


class MeasureLock:
    """Many may train at once, but nothing trains while latency is timed.

    Workers hold `shared()` for an epoch at a time; whoever times holds `exclusive()`. While a timer waits no worker
    gets in, so that workers, which always come back, cannot starve it.

    Args:
        path: the lock's file, made when needed; it may stay.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    @contextlib.contextmanager
    def shared(self) -> Iterator[None]:
        """Hold the lock with others; inside a lock that this thread holds already it does nothing."""
        if self._mode() is not None:
            yield
            return
        with self._lock().read_lock(), self._marked("shared"):
            yield

    @contextlib.contextmanager
    def exclusive(self) -> Iterator[None]:
        """Hold the lock alone.

        Raises:
            RuntimeError: this thread holds `shared()`: it would wait for itself.
        """
        if self._mode() == "shared":
            raise RuntimeError(f"{self.path}: this thread holds the shared lock and would wait for itself")
        if self._mode() is not None:
            yield
            return
        with self._lock().write_lock(), self._marked("exclusive"):
            yield

    def _lock(self) -> ReadWriteLock:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        return ReadWriteLock(self.path, is_singleton=False)  # one a hold: threads wait for each other, too

    def _key(self) -> tuple[str, int]:
        return str(self.path.absolute()), threading.get_ident()

    def _mode(self) -> str | None:
        return _held.get(self._key())

    @contextlib.contextmanager
    def _marked(self, mode: str) -> Iterator[None]:
        _held[self._key()] = mode
        try:
            yield
        finally:
            del _held[self._key()]
