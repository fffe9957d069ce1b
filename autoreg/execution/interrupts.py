"""Ctrl-C and SIGTERM, noted in the middle of a write and obeyed after it."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any


class Interrupts:
    """Notes SIGINT and SIGTERM while it is open, so that no event is torn; a second signal is raised at once.

    Outside the main thread, and for a signal that the process ignores, it does nothing.

    Attributes:
        caught: Number of the signal that came, 0 for none.
    """

    def __init__(self) -> None:
        self.caught = 0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                before = signal.getsignal(number)
                if before is not None and before is not signal.SIG_IGN:
                    self._before[number] = before
                    signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)
        self._before.clear()

    def check(self) -> None:
        """Raise KeyboardInterrupt if a signal came."""
        if self.caught:
            raise KeyboardInterrupt(signal.Signals(self.caught).name)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.caught:
            raise KeyboardInterrupt(signal.Signals(number).name)
        self.caught = number
