"""What trials tell beside their own result: how good their trained network was before it was compressed.

That network is a recipe of its own, the *uncompressed prefix* of the trial's: the same training, nothing removed, all
numbers in 32 bits. Its quality comes for a look at the validation data, and the experts hear of it as of another
trial, once for all that share it. So they learn what training is worth and what compression takes away apart.
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
        config: of the space.
        value: its quality, in its own units.
        costs: its known costs.
        after: how many complete trials there were when it was heard of, its own among them.
        until: after so many it was a trial itself, which counts instead; None: it has not been.
    """

    config: dict[str, Any]
    value: float
    costs: dict[str, float]
    after: int
    until: int | None = None


class AuxiliaryPoints:
    """Keeps the prefixes of complete trials, each once.

    A trial tells of its prefix by `info.uncompressed_quality`.

    Args:
        problem: The study.
        uncompressed: The prefix of a config; None: trials tell of none.
    """

    def __init__(self, problem: Problem, uncompressed: Uncompressed | None) -> None:
        self._problem, self._uncompressed = problem, uncompressed
        self._free: dict[str, AuxiliaryPoint] = {}
        self._tried: set[str] = set()
        self._rows: dict[str, Floats] = {}

    def hear(self, record: Record, count: int) -> None:
        """Hear of a complete trial, the `count`-th."""
        if self._uncompressed is None:
            return
        own = self._problem.identity(record.config)
        self._tried.add(own)
        if own in self._free and self._free[own].until is None:
            self._free[own].until = count
        value = record.info.uncompressed_quality
        if value is None or record.reevaluation_of is not None:
            return
        try:
            config = self._uncompressed(record.config)
            if config is None or (key := self._problem.identity(config)) in self._tried or key in self._free:
                return
            costs = self._problem.known_costs(config)
        except AutoregError:
            return
        if self._problem.encoded(config) is not None:
            self._free[key] = AuxiliaryPoint(config, value, costs, count)

    def known(self, count: int) -> list[tuple[AuxiliaryPoint, Floats]]:
        """Points that counted after `count` complete trials, in the order of the trials that told of them; encoded."""
        held = {k: f for k, f in self._free.items() if f.after <= count and (f.until is None or f.until > count)}
        fresh = [k for k in held if k not in self._rows]
        for key, row in zip(fresh, self._problem.encoded_many([held[k].config for k in fresh]), strict=True):
            assert row is not None
            self._rows[key] = row
        return [(f, self._rows[k]) for k, f in held.items()]

    def forget_rows(self) -> None:
        """Encode all anew: the columns have changed."""
        self._rows = {}
