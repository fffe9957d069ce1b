"""Trainings of which further variants have brought nothing."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from autoreg.engine.log.records import Record, StudyState
from autoreg.engine.pareto.front import Floats
from autoreg.engine.problem import Problem


class BarrenTrainings:
    """Counts the trials of each training since the last of them that extended the front.

    Variants of a trained network cost next to nothing, and share what its seed did: where several have brought nothing,
    the next is unlikely to, whatever a surrogate that takes their noise for independent expects of it. So what is
    expected of a candidate is divided by one and the count of its training.

    Args:
        problem: The study.
        training: Label of a config's training; None where no two configs share one.
    """

    def __init__(self, problem: Problem, training: Callable[[dict[str, Any]], str] | None) -> None:
        self._problem = problem
        self._training = training
        self._read = 0
        self._points: Floats = np.zeros((0, len(problem.names)))
        self._counts: dict[str, int] = {}

    def log_discounts(self, state: StudyState, configs: Sequence[dict[str, Any]]) -> Floats:
        """Logarithm [n], at most 0, of what the expected improvement of candidates is multiplied by."""
        if self._training is None:
            return np.zeros(len(configs))
        for number in state.ended_numbers[self._read :]:
            record = state.records[number]
            if record.state == "COMPLETE" and record.reevaluation_of is None:
                label = self._training(record.config)
                self._counts[label] = 0 if self._extends(record) else self._counts.get(label, 0) + 1
        self._read = len(state.ended_numbers)
        return np.array([-math.log1p(self._counts.get(self._training(config), 0)) for config in configs])

    def _extends(self, record: Record) -> bool:
        """Whether no trial before it was as good in all objectives; what breaks a constraint extends nothing."""
        if not self._problem.is_front_candidate(record):
            return False
        point = self._problem.signs * self._problem.table([record])[0]
        beaten = bool(np.any(np.all(self._points <= point, axis=1)))
        self._points = np.vstack([self._points, point])
        return not beaten
