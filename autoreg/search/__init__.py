"""The engine: what to try next, what to stop, and what was found. Imports neither torch nor ray."""

from __future__ import annotations

from autoreg.search.engine import Budget, Engine
from autoreg.search.events import EventLog, read_events
from autoreg.search.front import Normalizer, hypervolume_history, nondominated, ranks
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
