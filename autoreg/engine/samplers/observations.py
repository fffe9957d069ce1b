"""The recorded trials of a study as samplers see them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from autoreg.engine.log.records import Record, StudyState
from autoreg.engine.problem import Problem
from autoreg.engine.samplers.history import Observation


class Observations:
    """Turns records into observations; what does not change of a record is worked out once.

    Args:
        problem: The study.
    """

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        self._flats: dict[int, dict[str, Any]] = {}

    def of(self, state: StudyState) -> list[Observation]:
        """Trials in the order of their numbers; failed ones and further runs of a recipe are left out."""
        records = [r for r in state.records if r.state != "FAIL" and r.reevaluation_of is None]
        valued = [r for r in records if r.state == "COMPLETE" and self._problem.values(r.metrics) is not None]
        rows = self._problem.scaled(self._problem.table(valued), state).tolist()
        scaled = {r.number: tuple(row) for r, row in zip(valued, rows, strict=True)}
        return [
            Observation(r.number, r.state, self.flat(r), scaled.get(r.number), r.violation)
            for r in records
            if r.state != "FAIL"
        ]

    def flat(self, record: Record) -> Mapping[str, Any]:
        """Active parameters of a trial by path; of the nearest config for a baseline from outside of the space."""
        if record.number not in self._flats:
            self._flats[record.number] = self._problem.flat(record.config)
        return self._flats[record.number]
