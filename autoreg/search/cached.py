"""Values that trials share: computed once for a key, kept in memory and, where they can be, in a folder.

A value is JSON data (mappings with text keys, lists, text, numbers, true, false, none) with NumPy arrays and tensors
anywhere in it. On disk it is one safetensors file: the arrays, and the rest as JSON in its header. It appears whole or
not at all, and nothing in it is run when it is read.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from autoreg.errors import InputError
from autoreg.files import write_whole

RECENT = 16
"""Values read from a folder that stay in memory; what is in memory alone stays there."""
MARK = "$array"
"""Key of the mapping that stands for an array in the JSON part."""


class Found(NamedTuple):
    """A value, the seconds that it took to compute, and whether it was computed just now."""

    value: Any
    seconds: float
    fresh: bool


_alone: dict[str, tuple[Any, float]] = {}
_recent: OrderedDict[str, tuple[Any, float]] = OrderedDict()


def forget() -> None:
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


def through(folder: Path | None, key: Any, fn: Callable[[], Any]) -> Found:
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
        return Found(*known, fresh=False)
    if folder is None:
        return _compute(where, None, fn)
    file = folder / f"{name}.safetensors"
    found = _load(where, file)
    if found is not None:
        return found
    with _writing(folder / f"{name}.lock"):
        known = _known(where)  # of another thread of this process
        if known is not None:
            return Found(*known, fresh=False)
        return _load(where, file) or _compute(where, file, fn)


def _known(where: str) -> tuple[Any, float] | None:
    if where in _recent:
        _recent.move_to_end(where)
        return _recent[where]
    return _alone.get(where)


def _load(where: str, file: Path) -> Found | None:
    try:
        value, seconds = decode(file.read_bytes())
    except (OSError, ValueError, KeyError, TypeError):  # not there yet, or damaged: it is computed
        return None
    _remember(where, value, seconds)
    return Found(value, seconds, fresh=False)


def _compute(where: str, file: Path | None, fn: Callable[[], Any]) -> Found:
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
            return Found(value, seconds, fresh=True)
    _alone[where] = value, seconds
    return Found(value, seconds, fresh=True)


def _remember(where: str, value: Any, seconds: float) -> None:
    _recent[where] = value, seconds
    while len(_recent) > RECENT:
        _recent.popitem(last=False)


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Hold the right to compute a value; it is given back by the system when its holder dies.

    Each key has a file of its own, so that a computation may ask for other keys.
    """
    try:
        import fcntl
    except ImportError:  # pragma: no cover - no advisory locks here: at worst two processes compute the same value
        yield
        return
    from autoreg.costs.lock import unlocked_after

    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):  # a folder that cannot be written, or has no locks: work unshared
            path.parent.mkdir(parents=True, exist_ok=True)
            handle = stack.enter_context(open(path, "ab"))
            stack.enter_context(unlocked_after(handle))
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def encode(value: Any, seconds: float = 0.0) -> bytes:
    """Return a value as the bytes of a safetensors file.

    Raises:
        TypeError: If it holds something that is no data, or that would come back changed (tuples, keys that are no
            text).
        ValueError: If a number of JSON is too large.
    """
    arrays: dict[str, Any] = {}
    plain = _plain(value, arrays)
    header = {"autoreg": json.dumps({"value": plain, "seconds": round(seconds, 6)})}
    if any(not isinstance(a, np.ndarray) for a in arrays.values()):
        import torch
        from safetensors.torch import save

        tensors = {n: torch.from_numpy(a) if isinstance(a, np.ndarray) else a for n, a in arrays.items()}
        return save(tensors, header)
    from safetensors.numpy import save as save_arrays

    return save_arrays(arrays, header)


def decode(content: bytes) -> tuple[Any, float]:
    """Read what `encode` wrote: the value, with tensors on the CPU, and the seconds that it took.

    Raises:
        ValueError: If the bytes are no such file.
    """
    from safetensors import SafetensorError

    try:
        size = int.from_bytes(content[:8], "little")
        told = json.loads(json.loads(content[8 : 8 + size])["__metadata__"]["autoreg"])
        kinds = {leaf[MARK]: leaf["kind"] for leaf in _leaves(told["value"])}
        if "torch" in kinds.values():
            from safetensors.torch import load

            tensors: Mapping[str, Any] = load(content)
            held = {n: t if kinds[n] == "torch" else t.numpy() for n, t in tensors.items()}
        else:
            from safetensors.numpy import load as load_arrays

            held = dict(load_arrays(content))
        return _filled(told["value"], held), float(told["seconds"])
    except (SafetensorError, UnicodeDecodeError, KeyError, TypeError, OverflowError) as error:
        raise ValueError(f"no cached value: {error}") from error


def _plain(value: Any, arrays: dict[str, Any]) -> Any:
    if value is None or type(value) in (str, bool, int, float):
        return value
    if isinstance(value, np.generic):
        return _plain(value.item(), arrays)
    name = str(len(arrays))
    if isinstance(value, np.ndarray):
        if value.dtype.kind not in "biuf" or value.dtype.itemsize > 8:
            raise TypeError(f"an array of {value.dtype} cannot be kept")
        arrays[name] = np.array(value, dtype=value.dtype.newbyteorder("="), order="C")
        return {MARK: name, "kind": "numpy"}
    if hasattr(value, "detach") and hasattr(value, "cpu"):
        if value.layout.__repr__() != "torch.strided" or value.is_complex():
            raise TypeError("a sparse or complex tensor cannot be kept")
        arrays[name] = value.detach().cpu().contiguous().clone()
        return {MARK: name, "kind": "torch"}
    if type(value) is list:
        return [_plain(item, arrays) for item in value]
    if isinstance(value, dict) and all(type(k) is str for k in value) and MARK not in value:
        return {k: _plain(item, arrays) for k, item in value.items()}
    raise TypeError(f"{type(value).__name__} cannot be kept")


def _leaves(plain: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(plain, Mapping):
        if MARK in plain:
            yield plain
        else:
            for item in plain.values():
                yield from _leaves(item)
    elif isinstance(plain, list):
        for item in plain:
            yield from _leaves(item)


def _filled(plain: Any, arrays: Mapping[str, Any]) -> Any:
    if isinstance(plain, Mapping):
        return arrays[plain[MARK]] if MARK in plain else {k: _filled(item, arrays) for k, item in plain.items()}
    return [_filled(item, arrays) for item in plain] if isinstance(plain, list) else plain
