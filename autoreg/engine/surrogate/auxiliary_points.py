"""What trials tell beside their own result: how good their trained network was before it was compressed.

That network is a recipe of its own, the *uncompressed prefix* of the trial's: the same training, nothing removed, all
numbers in 32 bits. Its quality costs one pass over the validation data, and the surrogate is fitted to it as to another
trial, once for all that share it. So it learns what training brings and what compression takes away apart.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from autoreg.engine.log.records import Record
from autoreg.engine.pareto.front import Floats
from autoreg.engine.problem import Problem
from autoreg.errors import AutoregError

Uncompressed = Callable[[dict[str, Any]], dict[str, Any] | None]
"""The uncompressed prefix of a config, as a config of the space; None where the space has none."""


@dataclass
class AuxiliaryPoint:
    """A prefix whose quality is known.

    Attributes:
        config: Of the space.
        value: Its quality, in its own units.
        costs: Its known costs.
        since: How many observations there were when it came, that of its trial among them.
        until: After so many it was a trial itself, which counts instead; None: it has not been.
    """

    config: dict[str, Any]
    value: float
    costs: dict[str, float]
    since: int
    until: int | None = None


class AuxiliaryPoints:
    """The prefixes of complete trials, each once.

    A trial tells of its prefix by `info.uncompressed_quality`.

    Args:
        problem: The study.
        uncompressed: The prefix of a config; None: trials tell of none.
    """

    def __init__(self, problem: Problem, uncompressed: Uncompressed | None) -> None:
        self._problem, self._uncompressed = problem, uncompressed
        self._points: dict[str, AuxiliaryPoint] = {}
        self._tried: set[str] = set()
        self._encoded: dict[str, Floats] = {}

    def add(self, record: Record, count: int) -> None:
        """Take in the `count`-th observation."""
        if self._uncompressed is None:
            return
        own = self._problem.identity(record.config)
        self._tried.add(own)
        if own in self._points and self._points[own].until is None:
            self._points[own].until = count
        value = record.info.uncompressed_quality
        if value is None or record.reevaluation_of is not None:
            return
        try:
            config = self._uncompressed(self._problem.inside(record.config) or record.config)
            if config is None or (key := self._problem.identity(config)) in self._tried or key in self._points:
                return
            costs = self._problem.known_costs(config)
        except AutoregError:
            return
        encoded = self._problem.encoded(config)
        if encoded is not None:
            self._points[key], self._encoded[key] = AuxiliaryPoint(config, value, costs, count), encoded

    def at(self, count: int) -> list[tuple[AuxiliaryPoint, Floats]]:
        """Points that count after `count` observations, in the order in which they came, with their encoded configs."""
        valid = {k: p for k, p in self._points.items() if p.since <= count and (p.until is None or p.until > count)}
        return [(p, self._encoded[k]) for k, p in valid.items()]

    def encode_again(self) -> None:
        """Encode all anew: the columns have changed."""
        # One by one, as when they came: in a batch the last bits of a prior's column would depend on its size.
        for key, point in self._points.items():
            encoded = self._problem.encoded(point.config)
            assert encoded is not None
            self._encoded[key] = encoded
