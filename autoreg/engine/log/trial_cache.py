"""Values that trials share: computed once for a key, kept in memory and, where they can be, in a folder.

On disk a value is one file, written by `autoreg.serialization`; it appears whole or not at all.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from autoreg.errors import InputError
from autoreg.files import write_whole
from autoreg.locks import hold_lock
from autoreg.serialization import decode, encode

MAX_RECENT_VALUES = 16
"""Values read from a folder that stay in memory; what is in memory alone stays there."""


class CachedValue(NamedTuple):
    """A value, the seconds that it took to compute, and whether it was computed just now."""

    value: Any
    seconds: float
    fresh: bool


_alone: dict[str, tuple[Any, float]] = {}
_recent: OrderedDict[str, tuple[Any, float]] = OrderedDict()


def clear_memory() -> None:
    """Drop what this process holds in memory."""
    _alone.clear()
    _recent.clear()


def cache_key(key: Any) -> str:
    """Return the file name of a cached value: readable beginning, then 24 hex digits of SHA-256.

    Raises:
        InputError: If `key` is not JSON data.
    """
    try:
        text = json.dumps(key, sort_keys=True, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError) as error:
        raise InputError(
            f"trial.cached: the key must be JSON data (strings, numbers, lists, mappings): {key!r:.80}"
        ) from error
    return f"{re.sub(r'[^A-Za-z0-9]+', '-', text)[:24].strip('-')}-{hashlib.sha256(text.encode()).hexdigest()[:24]}"


def get_or_compute(folder: Path | None, key: Any, fn: Callable[[], Any]) -> CachedValue:
    """Return the value of `key`; the first that asks for it computes it, others wait and take what it made.

    Processes that share `folder` share values and wait for each other; threads of one process do too. A computation
    that fails leaves nothing. A value that cannot be kept as a file, or a folder that cannot be written, leaves it in
    the memory of this process.

    Args:
        folder: Where values are kept; None keeps them in memory.
        key: JSON data that names the value.
        fn: Computes it.

    Raises:
        InputError: If `key` is not JSON data.
    """
    name = cache_key(key)
    where = name if folder is None else f"{folder.absolute()}/{name}"
    known = _known(where)
    if known is not None:
        return CachedValue(*known, fresh=False)
    if folder is None:
        return _compute(where, None, fn)
    file = folder / f"{name}.safetensors"
    found = _load(where, file)
    if found is not None:
        return found
    with hold_lock(folder / f"{name}.lock"):  # a file for each key, so that a computation may ask for other keys
        known = _known(where)  # of another thread of this process
        if known is not None:
            return CachedValue(*known, fresh=False)
        return _load(where, file) or _compute(where, file, fn)


def _known(where: str) -> tuple[Any, float] | None:
    if where in _recent:
        _recent.move_to_end(where)
        return _recent[where]
    return _alone.get(where)


def _load(where: str, file: Path) -> CachedValue | None:
    try:
        value, seconds = decode(file.read_bytes())
    except (OSError, ValueError, KeyError, TypeError):  # not there yet, or damaged: it is computed
        return None
    _remember(where, value, seconds)
    return CachedValue(value, seconds, fresh=False)


def _compute(where: str, file: Path | None, fn: Callable[[], Any]) -> CachedValue:
    begun = time.perf_counter()
    value = fn()
    seconds = time.perf_counter() - begun
    if file is not None:
        try:
            content = encode(value, seconds)
            write_whole(file, content)
        except (OSError, TypeError, ValueError):  # a full disk, or no data: this process alone has it
            pass
        else:
            value = decode(content)[0]  # whoever asks gets the same, the first too
            _remember(where, value, seconds)
            return CachedValue(value, seconds, fresh=True)
    _alone[where] = value, seconds
    return CachedValue(value, seconds, fresh=True)


def _remember(where: str, value: Any, seconds: float) -> None:
    _recent[where] = value, seconds
    while len(_recent) > MAX_RECENT_VALUES:
        _recent.popitem(last=False)
