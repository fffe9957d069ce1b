"""What an objective sees of its trial, and what an engine and an executor hand to each other."""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

from autoreg.errors import InputError

TrialState = Literal["COMPLETE", "PRUNED", "FAIL"]
STATES: tuple[TrialState, ...] = ("COMPLETE", "PRUNED", "FAIL")
T = TypeVar("T")

_memory: dict[str, Any] = {}


@dataclass(frozen=True)
class Ask:
    """A recipe that the engine wants evaluated.

    `costs` holds what is known about it before it runs, `source` who proposed it, and `again`
    whether it was asked before and interrupted.
    """

    number: int
    config: dict[str, Any]
    seed: int
    source: str = ""
    costs: Mapping[str, float] = field(default_factory=dict)
    again: bool = False


@dataclass(frozen=True)
class Result:
    """How a trial ended.

    COMPLETE at full fidelity only; PRUNED with the metrics it had; FAIL with its reason.
    """

    state: TrialState
    metrics: Mapping[str, float] = field(default_factory=dict)
    info: Mapping[str, Any] = field(default_factory=dict)
    reason: str | None = None

    def __post_init__(self) -> None:
        if self.state not in STATES:
            raise InputError(f"the state of a result is one of {', '.join(STATES)}, not {self.state!r}")


class Trial:
    """The handle an objective reports through.

    Args:
        number: Number of the trial in its study, from 0.
        seed: Seed of everything random in the trial.
        send: Called as `send(step, metrics)` for every report; returns "continue" or "stop".
            An executor passes one that reaches the engine; without one nothing ever stops.
        cache: Folder in which `cached` keeps values between processes; None keeps them in memory.
        info: Start of `info`.
    """

    def __init__(
        self,
        number: int = 0,
        seed: int = 0,
        send: Callable[[int, dict[str, float]], str] | None = None,
        cache: str | os.PathLike[str] | None = None,
        info: Mapping[str, Any] | None = None,
    ) -> None:
        self.number = number
        self.seed = seed
        self.info: dict[str, Any] = dict(info or {})
        self.reports: list[tuple[int, dict[str, float]]] = []
        self._send = send
        self._cache = None if cache is None else Path(cache)
        self._stop = False
        self._obeyed = False

    def report(self, step: int, metrics: Mapping[str, float]) -> None:
        """Tell how the trial does after `step` units of work (epochs, say; steps only grow).

        Raises:
            InputError: If `step` is negative or does not grow, or a metric is no number.
        """
        if self.reports and step <= self.reports[-1][0]:
            raise InputError(
                f"trial {self.number}: step {step} was reported after step {self.reports[-1][0]}; steps must grow"
            )
        if step < 0:
            raise InputError(f"trial {self.number}: a step is at least 0, not {step}")
        numbers = as_numbers(metrics, f"trial {self.number}, step {step}")
        self.reports.append((int(step), numbers))
        if self._send is not None and self._send(int(step), numbers) == "stop":
            self._stop = True

    def should_stop(self) -> bool:
        """Whether the trial should end now; whoever is told so returns what it has."""
        self._obeyed = self._obeyed or self._stop
        return self._stop

    def stop(self) -> None:
        """Make `should_stop` true from now on (an executor that is interrupted does this)."""
        self._stop = True

    def cached(self, key: Any, fn: Callable[[], T]) -> T:
        """Return `fn()`, computed once per `key` in this process and, where JSON can hold it, in the folder.

        Trials share it, so a value must depend on its key alone and must not be changed in place.

        Args:
            key: JSON data that names the value; for example `["features", config["depth"], trial.seed]`.
            fn: Computes the value.

        Raises:
            InputError: If `key` is not JSON data.
        """
        name = cache_key(key)
        where = name if self._cache is None else f"{self._cache}/{name}"
        if where not in _memory:
            _memory[where] = fn() if self._cache is None else _through(self._cache / f"{name}.json", fn)
        value: T = _memory[where]
        return value

    def outcome(self, returned: Any) -> Result:
        """Turn what an objective returned into a result.

        A trial that was told to stop is PRUNED, with what it returned or else its last report.
        """
        if self._obeyed:
            metrics = returned if isinstance(returned, Mapping) else (self.reports[-1][1] if self.reports else {})
            step = self.reports[-1][0] if self.reports else 0
            return Result("PRUNED", dict(metrics), dict(self.info), f"stopped at step {step}")
        if not isinstance(returned, Mapping):
            reason = f"the objective returned {type(returned).__name__}; it must return a mapping of metrics to numbers"
            return Result("FAIL", {}, dict(self.info), reason)
        return Result("COMPLETE", dict(returned), dict(self.info))


def as_numbers(metrics: Mapping[str, Any], place: str) -> dict[str, float]:
    """Return metrics as plain floats (numpy scalars and one-element tensors are taken).

    Raises:
        InputError: If a value is no number.
    """
    numbers: dict[str, float] = {}
    for name, value in metrics.items():
        try:
            numbers[str(name)] = float(value.item() if hasattr(value, "item") else value)
        except (TypeError, ValueError, RuntimeError) as error:
            raise InputError(f"{place}: metric {name!r} is {value!r:.60}; a metric is one number") from error
    return numbers


def cache_key(key: Any) -> str:
    """Return the file name of a cached value: readable beginning, then 24 hex digits of SHA-256."""
    try:
        text = json.dumps(key, sort_keys=True, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError) as error:
        raise InputError(
            f"trial.cached: the key must be JSON data (strings, numbers, lists, mappings): {key!r:.80}"
        ) from error
    return f"{re.sub(r'[^A-Za-z0-9]+', '-', text)[:24].strip('-')}-{hashlib.sha256(text.encode()).hexdigest()[:24]}"


def _through(file: Path, fn: Callable[[], T]) -> T:
    try:
        value: T = json.loads(file.read_text())["value"]
    except (OSError, ValueError, KeyError, TypeError):  # not there yet, or torn: compute it
        value = fn()
        _keep(file, value)
    return value


def _keep(file: Path, value: Any) -> None:
    try:
        text = json.dumps({"value": value})
    except (TypeError, ValueError):
        return  # not JSON: it stays in memory
    if json.loads(text)["value"] != value:
        return  # JSON would change it (tuples, integer keys)
    name = ""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=file.parent, suffix=".part")
        with os.fdopen(handle, "w") as out:
            out.write(text)
        os.replace(name, file)
    except OSError:  # a full disk costs the cache, not the trial
        Path(name).unlink(missing_ok=True) if name else None
