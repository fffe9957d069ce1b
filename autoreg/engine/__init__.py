"""The engine: what to try next, what to stop, and what was found. Imports neither torch nor ray."""

from __future__ import annotations

from autoreg.engine.engine import Engine
from autoreg.engine.log.events import EventLog, read_events
from autoreg.engine.log.records import Record, StudyState, read_state
from autoreg.engine.log.trial import Ask, Result, Trial
from autoreg.engine.pareto.front import Normalizer, hypervolume_history, nondominated, ranks
from autoreg.engine.problem import Interval, Problem
from autoreg.engine.pruning.halving import Halving
from autoreg.engine.samplers.base import SAMPLERS
from autoreg.engine.settings import SharedWork, Strategy
from autoreg.space.budget import Budget

__all__ = [
    "SAMPLERS",
    "Ask",
    "Budget",
    "Engine",
    "EventLog",
    "Halving",
    "Interval",
    "Normalizer",
    "Problem",
    "Record",
    "Result",
    "SharedWork",
    "Strategy",
    "StudyState",
    "Trial",
    "hypervolume_history",
    "nondominated",
    "ranks",
    "read_events",
    "read_state",
]
