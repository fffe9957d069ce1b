"""Trainings of which further variants have brought nothing."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from autoreg.engine.log.records import Record, StudyState
from autoreg.engine.pareto.front import Floats
from autoreg.engine.problem import Problem

Trainings = Callable[[Sequence[dict[str, Any]]], list[str] | None]
"""Labels of the trainings of some configs; None where no two share one."""


class BarrenTrainings:
    """Counts the trials of each training since the last of them that extended the front.

    Variants of a trained network cost next to nothing, and share what its seed did: where several have brought nothing,
    the next is unlikely to, whatever a surrogate that takes their noise for independent expects of it. So what is
    expected of a candidate is divided by one and the count of its training.

    Args:
        problem: The study.
    """

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        self._read = 0
        self._points: Floats = np.zeros((0, len(problem.names)))
        self._counts: dict[str, int] = {}

    def log_discounts(self, state: StudyState, trainings: Trainings, configs: Sequence[dict[str, Any]]) -> Floats:
        """Logarithm [n], at most 0, of what the expected improvement of candidates is multiplied by."""
        labels = trainings(configs)
        if labels is None:
            return np.zeros(len(configs))
        self._update(state, trainings)
        return np.array([-math.log1p(self._counts.get(label, 0)) for label in labels])

    def _update(self, state: StudyState, trainings: Trainings) -> None:
        fresh = [state.records[number] for number in state.ended_numbers[self._read :]]
        self._read = len(state.ended_numbers)
        complete = [r for r in fresh if r.state == "COMPLETE" and r.reevaluation_of is None]
        for record, label in zip(complete, trainings([r.config for r in complete]) or [], strict=True):
            self._counts[label] = 0 if self._extends(record) else self._counts.get(label, 0) + 1

    def _extends(self, record: Record) -> bool:
        """Whether no trial before it was as good in all objectives; what breaks a constraint extends nothing."""
        if not self._problem.is_front_candidate(record):
            return False
        point = self._problem.signs * self._problem.table([record])[0]
        beaten = bool(np.any(np.all(self._points <= point, axis=1)))
        self._points = np.vstack([self._points, point])
        return not beaten
