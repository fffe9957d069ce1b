"""The engine: what to try next, what to stop, and what was found. Imports neither torch nor ray.

The room shares its name with the function `autoreg.search`, so it can be called as that function.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

from autoreg.search.budget import Budget
from autoreg.search.engine import Engine
from autoreg.search.events import EventLog, read_events
from autoreg.search.front import Normalizer, hypervolume_history, nondominated, ranks
from autoreg.search.problem import Interval
from autoreg.search.pruner import Halving
from autoreg.search.records import Record, State, read_state
from autoreg.search.samplers import SAMPLERS
from autoreg.search.trial import Ask, Result, Trial

__all__ = [
    "SAMPLERS",
    "Ask",
    "Budget",
    "Engine",
    "EventLog",
    "Halving",
    "Interval",
    "Normalizer",
    "Record",
    "Result",
    "State",
    "Trial",
    "hypervolume_history",
    "nondominated",
    "ranks",
    "read_events",
    "read_state",
]


class _Room(ModuleType):
    """A package that can be called: `autoreg.search(objective, space, ...)`, see `autoreg.python.search`."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        from autoreg.python import search

        return search(*args, **kwargs)


sys.modules[__name__].__class__ = _Room
