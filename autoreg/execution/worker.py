"""A worker process of the local executor, as the child sees itself: an objective, one trial after the other.

The protocol over the connection, tuples of plain data:
    to the worker     ("load", number, evaluate, cache), ("run", ask) per trial, (decision,) per report, ("end",)
    from the worker   ("hello",); ("ready", number) or ("broken", number, why) to a load; ("report", step, metrics),
                      ("result", result)
"""

from __future__ import annotations

import contextlib
import os
import pickle
import queue
import signal
import sys
import threading
from multiprocessing.connection import Connection
from typing import Any

from autoreg.execution.base import failure, run_one


def main(descriptor: int) -> None:
    """Serve trials over a socket until the parent says so or is gone.

    Args:
        descriptor: The worker's end of the socket, inherited.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's business
    connection: Connection[Any, Any] = Connection(descriptor)
    inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
    threading.Thread(target=_read_messages, args=(connection, inbox), daemon=True).start()
    connection.send(("hello",))

    def send(step: int, metrics: dict[str, float]) -> str:
        connection.send(("report", step, metrics))
        decision: str = inbox.get()[0]
        return decision

    evaluate: Any = None
    cache: str | None = None
    while (message := inbox.get())[0] != "end":
        if message[0] == "load":
            _, number, packed, cache = message
            try:
                evaluate = pickle.loads(packed)
                with contextlib.suppress(Exception):  # it comes again in the trial that fails of it
                    getattr(evaluate, "warm_up", _nothing)()
            except BaseException as error:
                connection.send(("broken", number, failure(error)))
                return
            connection.send(("ready", number))
            continue
        result = run_one(evaluate, message[1], send, cache=cache)
        sys.stdout.flush()
        sys.stderr.flush()
        connection.send(("result", result))


def _nothing() -> None:
    """What an objective does that needs no warming up."""


def _read_messages(connection: Connection[Any, Any], inbox: queue.SimpleQueue[Any]) -> None:
    """Pass messages on, and end this process and what it started once the parent is gone."""
    while True:
        try:
            message = connection.recv()
        except (EOFError, OSError):
            _end_with_parent()
        inbox.put(message)
        if message[0] == "end":
            return


def _end_with_parent() -> None:
    # The worker leads its own process group: processes that the objective started go with it.
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)
