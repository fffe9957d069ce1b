"""The truth of a study: an append-only file of events, one JSON object a line.

An event is on disk before the engine acts on it. A process killed in the middle of a line leaves
a torn tail, which is cut off when the file is opened again; everything before it stays.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from autoreg.errors import AutoregError, StudyError
from autoreg.files import parse_json
from autoreg.locks import take_lock

Event = dict[str, Any]


def safe_text(text: str, most: int | None = None) -> str:
    r"""Return a text that can be written as UTF-8: a lone surrogate becomes its escape.

    Such halves of characters come from file names that are no UTF-8 and stand in error messages; encoding one raises.

    Args:
        text: Any text.
        most: Characters that are kept, at least 1; the rest becomes an ellipsis. None keeps all.

    Example:
        >>> safe_text("caf\udce9", 6)
        'caf\\u…'
    """
    safe = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return safe if most is None or len(safe) <= most else f"{safe[: most - 1]}…"


def with_safe_text(value: Any) -> Any:
    """Return JSON data in which every text, keys among them, is as `safe_text` gives it; all else as it is."""
    if isinstance(value, str):
        return safe_text(value)
    if isinstance(value, Mapping):
        return {safe_text(name) if isinstance(name, str) else name: with_safe_text(v) for name, v in value.items()}
    return [with_safe_text(item) for item in value] if isinstance(value, list | tuple) else value


def finite(value: Any, place: str = "", nonfinite: dict[str, str] | None = None) -> Any:
    """Return `value` as plain JSON data in which every number is finite and every text can be encoded.

    Args:
        value: Mappings, sequences, scalars and numpy scalars, nested.
        place: Dotted path of `value`, for messages.
        nonfinite: Receives `{place: "nan" | "inf" | "-inf"}` for every number that became null.

    Raises:
        TypeError: If something in `value` is not JSON data.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return safe_text(value)
    if isinstance(value, Mapping):
        plain = {}
        for key, item in value.items():
            name = safe_text(str(key))
            plain[name] = finite(item, f"{place}.{name}" if place else name, nonfinite)
        return plain
    if isinstance(value, list | tuple):
        return [finite(v, f"{place}[{i}]", nonfinite) for i, v in enumerate(value)]
    if not isinstance(value, int | float) and hasattr(value, "tolist"):  # numpy scalars and arrays
        return finite(value.tolist(), place, nonfinite)
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        if math.isfinite(value):
            return value
        if nonfinite is not None:
            nonfinite[place] = str(value)
        return None
    raise TypeError(f"{place or 'the event'}: {type(value).__name__} cannot be kept as JSON: {value!r:.80}")


def encode(event: Mapping[str, Any]) -> str:
    """Return the line of `event`; numbers that are not finite become null, named under `nonfinite`."""
    nonfinite: dict[str, str] = {}
    plain = finite(event, nonfinite=nonfinite)
    if nonfinite:
        plain["nonfinite"] = nonfinite
    return json.dumps(plain, allow_nan=False, ensure_ascii=False, separators=(",", ":"))


def decode(content: bytes, name: str = "events") -> tuple[list[Event], int]:
    """Read the events of a file's content.

    Returns:
        The events, and how many bytes of `content` they take; what follows is a torn tail.

    Raises:
        StudyError: If a line that is not the last is no JSON object; the message names the line.
    """
    events: list[Event] = []
    good = 0
    lines = content.split(b"\n")
    for number, line in enumerate(lines, start=1):
        if number == len(lines):
            break  # what follows the last newline was never finished
        event = _parse(line)
        if event is None and number == len(lines) - 1 and lines[-1] == b"":
            break
        if event is None:
            raise StudyError(
                f"{name}:{number}: this line is no event: {line[:60].decode(errors='replace')!r}; "
                "every line but a torn last one must be a JSON object with a key 'event'. "
                "Restore the file from a copy, or cut it before this line to go on from there."
            )
        events.append(event)
        good += len(line) + 1
    return events, good


def _parse(line: bytes) -> Event | None:
    try:
        value = parse_json(line)
    except ValueError:
        return None
    if not isinstance(value, dict) or not isinstance(value.get("event"), str):
        return None
    if b"\\ud" in line.lower():  # an escape of a surrogate: text that could not be written again where it stands alone
        return {safe_text(name): with_safe_text(item) for name, item in value.items()}
    return value


def read_events(path: str | os.PathLike[str]) -> list[Event]:
    """Read a log that may be written by another process right now; its torn tail is left alone.

    Raises:
        StudyError: If there is no such file, or a line in the middle is no event.
    """
    file = Path(path)
    try:
        content = file.read_bytes()
    except OSError as error:
        raise StudyError(f"{file}: cannot read the events of a study: {error.strerror}") from error
    return decode(content, str(file))[0]


class EventLog:
    """Events in the order in which they happened, on disk or, without a path, in memory.

    A lock stands beside the file: one log has one writer. A torn last line is dropped on opening.

    Args:
        path: The file; it is made when there is none. None keeps events in memory.
        fsync: Whether every event is forced to the disk itself, so that it survives a power cut.
            A killed process loses nothing either way.

    Raises:
        StudyError: If another process writes the file, or a line in its middle is no event.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None, *, fsync: bool = False) -> None:
        self.path = None if path is None else Path(path)
        self.events: list[Event] = []
        self._fsync = fsync
        self._file: int | None = None
        self._lock: FileLock | None = None
        self._size = 0
        if self.path is not None:
            self._file = self._open(self.path)

    def _open(self, path: Path) -> int:
        try:
            file = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o644)
        except OSError as error:
            raise StudyError(f"{path}: cannot open the events of a study: {error.strerror}") from error
        try:
            self._lock = self._take_lock(path)
            self.events, self._size = decode(path.read_bytes(), str(path))
            os.ftruncate(file, self._size)
        except BaseException:
            os.close(file)
            self._release()
            raise
        return file

    @staticmethod
    def _take_lock(path: Path) -> FileLock | None:
        """The lock stands beside the log, which others read; it is None on file systems without locks."""
        try:
            return take_lock(path.with_name(f".{path.name}.lock"))
        except Timeout:
            raise StudyError(
                f"{path}: another process is writing this study; one study has one writer at a time"
            ) from None
        except OSError:
            return None

    def append(self, event: Mapping[str, Any]) -> Event:
        """Add one event and return it as it was stored.

        Raises:
            AutoregError: If it cannot be written (a full disk, say); the log is then as before.
            TypeError: If the event holds something that is not JSON data.
        """
        line = encode(event)
        if self.path is not None:
            self._write(line.encode() + b"\n")
        stored: Event = json.loads(line)
        self.events.append(stored)
        return stored

    def _write(self, content: bytes) -> None:
        if self._file is None:
            raise StudyError(f"{self.path}: the log was closed; open it again to write")
        try:
            done = 0
            while done < len(content):
                os.lseek(self._file, self._size + done, os.SEEK_SET)  # not `pwrite`, which Windows does not have
                done += os.write(self._file, content[done:])
            if self._fsync:
                os.fsync(self._file)
        except OSError as error:
            with contextlib.suppress(OSError):
                os.ftruncate(self._file, self._size)  # half a line would spoil the next event
            raise AutoregError(
                f"{self.path}: an event could not be written: {error.strerror}. All earlier events are kept; "
                "make room and resume the study."
            ) from error
        self._size += len(content)

    def close(self) -> None:
        """Close the file and release its lock; reading `events` still works."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
        self._release()

    def _release(self) -> None:
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def __enter__(self) -> EventLog:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __len__(self) -> int:
        return len(self.events)

    def __bool__(self) -> bool:
        return True  # also without events, so that `log or EventLog()` drops no log
