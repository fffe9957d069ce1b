"""A worker process of the local executor, as the parent sees it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from multiprocessing.connection import Connection
from typing import Any

from autoreg.engine.log.trial import Ask
from autoreg.execution.base import THREAD_VARIABLES

# A fresh interpreter, not a fork (torch has threads) and not multiprocessing's spawn (it runs the
# user's script again, which fails where that has no `if __name__ == "__main__"`).
_START = (
    "import sys, json; descriptor, sys.path[:], sys.argv[:] = json.loads(sys.argv[1]); "
    "from autoreg.execution.worker import main; main(descriptor)"
)
CLOSE_SECONDS = 3.0
KILL_SECONDS = 0.5
SENT_AHEAD = 4096  # bytes of an objective that fit into every system's buffer, whether or not the worker reads yet


class WorkerProcess:
    """One child process that evaluates trials, and the trial that it has.

    Args:
        threads: CPU threads of its numerical libraries.

    Attributes:
        started: Whether it said that it has started.
        ready: Whether it has the objective that it was last told to load.
        ask: The trial it is at; None when it is free.
    """

    def __init__(self, threads: int) -> None:
        self.ready, self.started = False, False
        self._objective: tuple[bytes, str | None] | None = None
        self._loads = 0
        self.ask: Ask | None = None
        ours, theirs = socket.socketpair()
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-c", _START, json.dumps([theirs.fileno(), sys.path, sys.argv])],
                env={**os.environ, **dict.fromkeys(THREAD_VARIABLES, str(threads))},
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                process_group=0,
            )
        self.connection: Connection[Any, Any] = Connection(ours.detach())

    def send(self, *message: Any) -> None:
        """Send a message; one to a worker that died is lost, as `receive` will show."""
        with contextlib.suppress(OSError):
            self.connection.send(message)

    def prepare(self, packed: bytes, cache: str | None) -> None:
        """Have it load an objective, unless that is the one it has.

        A large one is sent when the process has started, so that nothing waits for that.
        """
        if self._objective == (packed, cache) or not (self.started or len(packed) <= SENT_AHEAD):
            return
        self._objective, self.ready = (packed, cache), False
        self._loads += 1
        self.send("load", self._loads, packed, cache)

    def is_last_load(self, number: int) -> bool:
        """Whether what it says of its load `number` is of the objective that it was last told to load."""
        return number == self._loads

    def begin(self, ask: Ask) -> None:
        """Give it a trial."""
        self.ask = ask
        self.send("run", ask)

    def receive(self) -> tuple[Any, ...] | None:
        """Return the next message, which must be there or soon; None if the process died."""
        try:
            message: tuple[Any, ...] = self.connection.recv()
        except (EOFError, OSError):
            return None
        return message

    def died(self) -> bool:
        """Whether the process is gone and has left no message (a grandchild may keep its socket open)."""
        return self.process.poll() is not None and not self.connection.poll()

    def death(self) -> str:
        """Say how it died, and clear up what it left."""
        self.kill()
        code = self.process.returncode
        if code >= 0:
            return f"worker ended with exit code {code}"
        try:
            name = signal.Signals(-code).name
        except ValueError:
            return f"worker died with signal {-code}"
        hint = "; the system may have run out of memory" if -code == signal.SIGKILL else ""
        return f"worker died with signal {-code} ({name}{hint})"

    def finish(self) -> None:
        """Ask it to end by itself."""
        self.send("end")

    def kill(self) -> None:
        """End it and the processes it started."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(KILL_SECONDS)
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(KILL_SECONDS)
        self.process.wait()
        self.connection.close()


def close(workers: list[WorkerProcess], *, prompt: bool) -> None:
    """End workers: those that are free by themselves, all others, or all if it must be `prompt`, by a signal."""
    free = [] if prompt else [worker for worker in workers if worker.ready and worker.ask is None]
    for worker in free:
        worker.finish()
    until = time.monotonic() + CLOSE_SECONDS
    for worker in free:
        with contextlib.suppress(subprocess.TimeoutExpired):
            worker.process.wait(max(0.0, until - time.monotonic()))
    for number in (signal.SIGTERM, signal.SIGKILL):
        for worker in workers:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(worker.process.pid, number)
        until = time.monotonic() + KILL_SECONDS
        for worker in workers:
            with contextlib.suppress(subprocess.TimeoutExpired):
                worker.process.wait(max(0.0, until - time.monotonic()))
    for worker in workers:
        worker.process.wait()
        worker.connection.close()
