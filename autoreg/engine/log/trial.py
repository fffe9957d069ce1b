"""What an objective sees of its trial, and what an engine and an executor hand to each other."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, SupportsFloat, TypeVar

from autoreg.engine.log.trial_cache import get_or_compute
from autoreg.errors import InputError
from autoreg.trial_info import CacheSeconds, TrialInfo

TrialState = Literal["COMPLETE", "PRUNED", "FAIL"]
STATES: tuple[TrialState, ...] = ("COMPLETE", "PRUNED", "FAIL")
T = TypeVar("T")


@dataclass(frozen=True)
class Ask:
    """A recipe that the engine wants evaluated.

    `costs` holds what is known about it before it runs, `source` who proposed it, and `again`
    whether it was asked before and interrupted. `reevaluation_of` is the trial whose recipe is run again, with another
    seed.
    """

    number: int
    config: dict[str, Any]
    seed: int
    source: str = ""
    costs: Mapping[str, float] = field(default_factory=dict)
    again: bool = False
    reevaluation_of: int | None = None


@dataclass(frozen=True)
class Result:
    """How a trial ended.

    COMPLETE at full fidelity only; PRUNED with the metrics it had; FAIL with its reason.
    """

    state: TrialState
    metrics: Mapping[str, float] = field(default_factory=dict)
    info: TrialInfo = field(default_factory=TrialInfo)
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
        cache: Folder in which `cached` keeps values for all processes; None keeps them in memory.

    Attributes:
        info: What the trial records beside its metrics; an objective of the user's own leaves what it likes in
            `info.user`.
    """

    def __init__(
        self,
        number: int = 0,
        seed: int = 0,
        send: Callable[[int, dict[str, float]], str] | None = None,
        cache: str | os.PathLike[str] | None = None,
    ) -> None:
        self.number = number
        self.seed = seed
        self._info = TrialInfo()
        self.reports: list[tuple[int, dict[str, float]]] = []
        self._send = send
        self._cache = None if cache is None else Path(cache)
        self._stop = False
        self._obeyed = False
        self._computed = self._saved = 0.0

    @property
    def info(self) -> TrialInfo:
        """What the trial records beside its metrics."""
        return self._info

    def report(self, step: int, metrics: Mapping[str, SupportsFloat]) -> None:
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
        """Whether the trial should end now; whoever sees that returns what it has."""
        self._obeyed = self._obeyed or self._stop
        return self._stop

    def stop(self) -> None:
        """Make `should_stop` true from now on (an executor that is interrupted does this)."""
        self._stop = True

    def cached(self, key: Any, fn: Callable[[], T]) -> T:
        """Return `fn()`, computed once per `key`: by the first trial that asks; others wait for it and take its value.

        A value of JSON data, NumPy arrays and tensors, nested, is kept in the study's folder (as safetensors, never as
        pickle) and shared by all workers and later runs; tensors come back on the CPU. Any other value is shared within
        its worker only. Nothing but the key says whether a value still holds: put into it whatever the value depends
        on, `trial.seed` too where it is random. Values must not be changed in place.

        `trial.info.cache_seconds` holds the seconds that this trial computed such values for, and those that it saved.

        Args:
            key: JSON data that names the value.
            fn: Computes the value. It may ask for other keys.

        Raises:
            InputError: If `key` is not JSON data.

        Example:
            >>> trial = Trial()
            >>> trial.cached(["features", 3, trial.seed], lambda: [1.0, 2.5])
            [1.0, 2.5]
        """
        before = self._computed
        found = get_or_compute(self._cache, key, fn)
        if found.fresh:  # what other keys took within is theirs
            self._computed += max(found.seconds - (self._computed - before), 0.0)
        else:
            self._saved += found.seconds
        self.info.cache_seconds = CacheSeconds(round(self._computed, 6), round(self._saved, 6))
        value: T = found.value
        return value

    def outcome(self, returned: Any) -> Result:
        """Turn what an objective returned into a result.

        A trial that was stopped is PRUNED, with what it returned or else its last report.
        """
        if self._obeyed:
            metrics = returned if isinstance(returned, Mapping) else (self.reports[-1][1] if self.reports else {})
            step = self.reports[-1][0] if self.reports else 0
            return Result("PRUNED", dict(metrics), self.info, f"stopped at step {step}")
        if not isinstance(returned, Mapping):
            reason = f"the objective returned {type(returned).__name__}; it must return a mapping of metrics to numbers"
            return Result("FAIL", {}, self.info, reason)
        return Result("COMPLETE", dict(returned), self.info)


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
