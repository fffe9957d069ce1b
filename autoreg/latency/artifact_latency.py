"""Latency of what would be deployed: exported once per architecture, timed under a lock, remembered per machine.

Latency does not depend on the values of weights, so an untrained skeleton of a recipe is timed, once per signature.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

from torch import nn
from torch.nn.utils.parametrize import type_before_parametrizations

from autoreg.files import parse_json, write_whole
from autoreg.latency.timing import MAX_ATTEMPTS, device_fingerprint, time_onnx
from autoreg.locks import MeasureLock
from autoreg.network.inputs import tensors
from autoreg.network.source import code_digest, describe
from autoreg.network.trace import type_name
from autoreg.trial_info import Latency

__all__ = [
    "LatencyCache",
    "MeasureLock",
    "device_fingerprint",
    "measure",
    "signature",
    "time_onnx",
]

NOISY_SECONDS = 6 * 3600.0
"""How long a disturbed measurement stands: its trials, fresh seeds and baselines compare at one time, not at many."""

_BOOKKEEPING = frozenset({*vars(nn.Module()), "training"})  # torch's own attributes of every module


def signature(model: nn.Module, example_input: Any) -> str:
    """Digest of all that latency depends on in a model: modules, their settings, shapes; not the values of weights.

    The code of a module's class counts, and that of functions among its attributes; not the code that these call.

    Returns:
        16 hexadecimal digits.
    """
    text: list[Any] = [[list(tensor.shape), str(tensor.dtype)] for tensor in tensors(example_input)]
    for name, module in model.named_modules():
        settings = {
            key: value if _plain(value) else describe(value)
            for key, value in sorted(vars(module).items())
            if key not in _BOOKKEEPING and (_plain(value) or callable(value))
        }
        shapes = [[key, list(p.shape), str(p.dtype)] for key, p in module.named_parameters(recurse=False)]
        shapes += [[key, list(b.shape), str(b.dtype)] for key, b in module.named_buffers(recurse=False)]
        kind = type_before_parametrizations(module)
        text.append([name, kind.__module__, type_name(module), module.extra_repr(), settings, shapes])
        text[-1].append(code_digest(kind))
    return hashlib.sha256(json.dumps(text, default=str).encode()).hexdigest()[:16]


def measure(
    key: str,
    build: Callable[[], bytes],
    example_input: Any,
    cache: LatencyCache | None = None,
    lock: MeasureLock | None = None,
    *,
    threads: int = 1,
    seconds: float = 0.3,
) -> Latency:
    """Build and time an ONNX model while nobody trains, or recall what was measured on this machine before.

    A measurement that was disturbed is repeated up to twice; the quietest stands (`noisy` says when none was quiet).

    Args:
        key: What the model's latency depends on, beside the machine.
        build: Writes the model; called only when it is not known yet, and while nobody times.
        example_input: What it is called with; its first dimension is the batch.
        cache: Where latencies are remembered.
        lock: Held with others while the model is written, and alone while the clock runs.
        threads: Threads within an operation.
        seconds: About how long one timing takes.
    """
    known = cache.get(key, threads) if cache is not None else None
    if known is not None:
        return known
    with lock.shared() if lock is not None else nullcontext():  # an export would disturb who times
        model = build()
    with lock.exclusive() if lock is not None else nullcontext():
        known = cache.get(key, threads) if cache is not None else None  # another process may have been first
        if known is not None:
            return known
        found = time_onnx(model, example_input, threads=threads, seconds=seconds)
        for _ in range(MAX_ATTEMPTS - 1):
            if not found.noisy:
                break
            again = time_onnx(model, example_input, threads=threads, seconds=seconds)
            found = min(found, again, key=lambda one: (one.noisy, one.reference_ms))
        if cache is not None:
            cache.put(key, threads, found)
    return found


class LatencyCache:
    """Latencies measured on this machine, one JSON file each; those of another machine are never returned.

    A disturbed measurement is returned, as noisy, for `NOISY_SECONDS`; a study that comes later measures again.

    Args:
        folder: Where the files stand; made when the first one is written.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    def path(self, key: str, threads: int = 1) -> Path:
        """The file of a signature on this machine."""
        device = hashlib.sha256(json.dumps(device_fingerprint(threads), sort_keys=True).encode()).hexdigest()[:8]
        return self.folder / f"{key}-{device}-t{threads}.json"

    def get(self, key: str, threads: int = 1) -> Latency | None:
        """The latency of a signature, None when it was not measured here, or is to be measured again."""
        path = self.path(key, threads)
        try:
            stored = parse_json(path.read_text(encoding="utf-8"))
            if stored["fingerprint"] == device_fingerprint(threads):
                found = Latency.from_dict(stored["latency"])
                if found is not None and found.noisy and not 0 <= time.time() - stored["time"] <= NOISY_SECONDS:
                    return None
                return found
        except (OSError, ValueError, KeyError, TypeError):
            pass  # missing, cut short or foreign: measure again
        return None

    def put(self, key: str, threads: int, latency: Latency) -> None:
        """Remember a latency; the file appears at once or not at all."""
        stored = {"signature": key, "fingerprint": device_fingerprint(threads), "time": time.time()}
        stored["latency"] = latency.to_dict()
        with suppress(OSError):  # a full disk costs the memory of it, not the trial
            write_whole(self.path(key, threads), json.dumps(stored, indent=1).encode())


def _plain(value: Any) -> bool:
    if isinstance(value, tuple | list):
        return all(_plain(part) for part in value)
    return value is None or isinstance(value, bool | int | float | str)
