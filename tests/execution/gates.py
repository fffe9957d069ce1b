"""Where trials in other processes stop until the test lets them go on: events between processes, in place of sleeps."""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Callable
from multiprocessing.connection import Client, Connection, Listener
from typing import Any

SECONDS = 60.0

Address = tuple[str, int]


class Gate:
    """Trials arrive at it with a text; once `count` have, `act` is called with them, and those that wait go on.

    Later ones pass at once.

    Args:
        count: how many are awaited.
        act: called with the texts by name; nobody goes on before it has returned.
        opens: whether they go on at all.
        holds: those that stay, also when the others go on.
    """

    def __init__(
        self,
        count: int,
        act: Callable[[dict[int, str]], object] = lambda arrived: None,
        *,
        opens: bool = True,
        holds: frozenset[int] = frozenset(),
    ) -> None:
        self._listener = Listener(("127.0.0.1", 0))
        self.address: Address = self._listener.address
        self._count, self._act, self._opens, self._holds = count, act, opens, holds
        self._there = threading.Event()
        self._closed = False
        self._waiting: dict[int, Connection[Any, Any]] = {}
        self.arrived: dict[int, str] = {}
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def wait(self, seconds: float = SECONDS) -> dict[int, str]:
        """Wait until all have arrived; what they brought."""
        assert self._there.wait(seconds), f"only {sorted(self.arrived)} arrived"
        return self.arrived

    def _serve(self) -> None:
        while True:
            connection = self._listener.accept()
            if self._closed:
                connection.close()
                return
            name, text = connection.recv()
            self._waiting[name] = connection
            self.arrived[name] = text
            if len(self.arrived) < self._count:
                continue
            if not self._there.is_set():
                self._act(self.arrived)
                self._there.set()
            if self._opens:
                self._let_go(self._waiting.keys() - self._holds)

    def _let_go(self, names: set[int]) -> None:
        for name in names:
            self._waiting.pop(name).close()

    def __enter__(self) -> Gate:
        return self

    def __exit__(self, *_: object) -> None:
        self._closed = True
        Client(self.address).close()  # `accept` cannot be interrupted otherwise
        self._thread.join()
        self._let_go(set(self._waiting))
        self._listener.close()


def wait_at(address: Address, name: int, text: str = "") -> None:
    """Arrive at a gate, and wait until it opens."""
    with Client(address) as connection:
        connection.send((name, text))
        assert connection.poll(SECONDS), "the gate did not open"


def wait_until_gone(pid: int, seconds: float = SECONDS) -> None:
    """Wait until a process has ended, of whatever parent."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        assert select.select([descriptor], [], [], seconds)[0], f"process {pid} still runs"
    finally:
        os.close(descriptor)
