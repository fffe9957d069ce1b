"""Where the main thread of a process spends its time, by a thread that looks at its stack; Linux only.

The stack is looked at every few milliseconds, and the time since the last look goes to the part of the program in whose
function the thread is: the innermost one that a list names. Wall time and processor time are both counted, so that a
busy machine shows as their difference.
"""

from __future__ import annotations

import atexit
import json
import os
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType

from autoreg.files import write_whole

INTERVAL_SECONDS = 0.005

Parts = Mapping[str, Sequence[str]]
"""By part of the program, `file.py:function`s, or `folder/` and `file.py` for all that is in them."""


class StackSampler:
    """Counts the seconds of this process's main thread by part until it ends, then writes them.

    Args:
        parts: what is told apart.
        folder: gets one JSON file: `wall` and `processor`, seconds by part and, below them, by what it was called from.
        within: a function `file.py:function`; time outside of it is counted under `outside`.
        start: the part that all time up to now belongs to.
    """

    def __init__(self, parts: Parts, folder: Path, *, within: str = "", start: str = "process start") -> None:
        self._places = [(part, place) for part, places in parts.items() for place in places]
        self._within, self._folder = within, folder
        self._known: dict[tuple[str, str], str | None] = {}
        self._main = threading.main_thread().ident
        assert self._main is not None
        self._clock = time.pthread_getcpuclockid(self._main)
        self.wall: dict[str, float] = defaultdict(float, {start: _age()})
        self.processor: dict[str, float] = defaultdict(float, {start: time.clock_gettime(self._clock)})
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        atexit.register(self.write)

    def write(self) -> None:
        """Stop, and write what was counted."""
        self._ended.set()
        self._thread.join()
        found = {"wall": dict(self.wall), "processor": dict(self.processor)}
        write_whole(self._folder / f"{os.getpid()}.json", json.dumps(found).encode())

    def _watch(self) -> None:
        wall, processor = time.perf_counter(), time.clock_gettime(self._clock)
        while not self._ended.wait(INTERVAL_SECONDS):
            frame = sys._current_frames().get(self._main or 0)
            part = self._part(frame)
            del frame
            now, worked = time.perf_counter(), time.clock_gettime(self._clock)
            self.wall[part] += now - wall
            self.processor[part] += worked - processor
            wall, processor = now, worked

    def _part(self, frame: FrameType | None) -> str:
        found: str | None = None
        inside = not self._within
        while frame is not None and not (found and inside):
            place = frame.f_code.co_filename, frame.f_code.co_name
            if found is None:
                found = self._known.get(place, "")
                if found == "":
                    found = self._known[place] = self._match(*place)
            inside = inside or (place[1] == self._function and place[0].endswith(self._file))
            if inside and self._within:
                break
            frame = frame.f_back
        return (found or "other") if inside else f"outside: {found or 'other'}"

    @property
    def _file(self) -> str:
        return self._within.partition(":")[0]

    @property
    def _function(self) -> str:
        return self._within.partition(":")[2]

    def _match(self, file: str, function: str) -> str | None:
        for part, place in self._places:
            where, _, name = place.partition(":")
            inside = where in file if where.endswith("/") else file.endswith(where)
            if inside and name in ("", function):
                return part
        return None


_running: list[StackSampler] = []


def sample_once(parts: Parts, folder: Path, *, within: str = "") -> None:
    """Count from here on where the time of this process goes, unless that is done already."""
    if not _running:
        _running.append(StackSampler(parts, folder, within=within))


def _age() -> float:
    """Seconds since this process was started."""
    ticks = float(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
    return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
