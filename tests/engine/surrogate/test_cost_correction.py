"""Costs that are predicted with an error, corrected by what completed trials measured."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from autoreg.engine import Engine, Interval, Problem, Result, Strategy
from autoreg.engine.acquisition.proposal import CandidateFilter
from autoreg.engine.log.records import StudyState
from autoreg.engine.surrogate.cost_correction import MIN_ERRORS, CostCorrection
from autoreg.space import Budget, Expression, Space

SPACE = Space.from_dict({"x": {"uniform": [0, 1]}, "y": {"uniform": [0, 1]}})
TOLERANCE = 0.1
INTERVAL = Interval(1000 * math.exp(-1.6449 * TOLERANCE), 1000.0, 1000 * math.exp(1.6449 * TOLERANCE))


def problem(*, learned: bool = True) -> Problem:
    return Problem(
        SPACE,
        {"error": "min", "size": "min"},
        "error",
        costs=lambda config: {"size": INTERVAL},
        learned_costs=("size",) if learned else (),
    )


Error = Callable[[dict[str, Any], np.random.Generator], float]


def after(error: Error, trials: int, *, learned: bool = True) -> tuple[Engine, CostCorrection]:
    """An engine whose trials measured 1000 · exp(error), and what a correction makes of them."""
    asked = problem(learned=learned)
    engine = Engine(asked, budget=Budget(trials=trials), strategy=Strategy(sampler="random"))
    rng = np.random.default_rng(0)
    while (ask := engine.ask()) is not None:
        size = 1000 * math.exp(error(ask.config, rng))
        engine.tell(ask.number, Result("COMPLETE", {"error": ask.config["x"], "size": size}))
    correction = CostCorrection(asked)
    correction.update(engine.state)
    return engine, correction


def test_an_error_that_follows_a_parameter_is_learned() -> None:
    _, correction = after(lambda config, rng: 0.2 * config["y"] - 0.1, 20)
    for y in (0.1, 0.5, 0.9):
        found = correction.corrected({"x": 0.5, "y": y}, {"size": INTERVAL})["size"]
        assert found.middle == pytest.approx(1000 * math.exp(0.2 * y - 0.1), rel=0.01)
        assert found.high / found.low < INTERVAL.high / INTERVAL.low


def test_noise_is_not_taken_for_an_error_that_can_be_predicted() -> None:
    _, correction = after(lambda config, rng: float(rng.normal(0, 0.05)), 24)
    found = correction.corrected({"x": 0.5, "y": 0.5}, {"size": INTERVAL})["size"]
    assert found.middle == 1000
    width = math.log(found.high / found.low) / (2 * 1.6449)
    assert 0.05 < width < 0.1  # between what was seen and what was said before


def test_one_wild_trial_leaves_the_others_where_they_are() -> None:
    wild = iter([0.0] * 12 + [1.5] + [0.0] * 50)
    _, correction = after(lambda config, rng: next(wild) + float(rng.normal(0, 0.01)), 24)
    assert correction.corrected({"x": 0.5, "y": 0.5}, {"size": INTERVAL})["size"].middle == pytest.approx(
        1000, rel=0.05
    )


def test_few_trials_and_costs_that_are_not_learned_change_nothing() -> None:
    for trials, learned in ((MIN_ERRORS - 1, True), (20, False)):
        _, correction = after(lambda config, rng: 0.2, trials, learned=learned)
        assert correction.corrected({"x": 0.5, "y": 0.5}, {"size": INTERVAL}) == {"size": INTERVAL}


def test_it_is_the_same_at_once_or_one_by_one() -> None:
    engine, at_once = after(lambda config, rng: 0.2 * config["y"] + float(rng.normal(0, 0.01)), 30)
    one_by_one = CostCorrection(problem())
    state = StudyState()
    for event in engine.log.events:
        state.apply(event)
        one_by_one.update(state)
        one_by_one.corrected({"x": 0.3, "y": 0.3}, {"size": INTERVAL})
    config = {"x": 0.7, "y": 0.2}
    assert one_by_one.corrected(config, {"size": INTERVAL}) == at_once.corrected(config, {"size": INTERVAL})


def test_proposals_carry_the_corrected_interval_and_the_log_the_measured_value() -> None:
    engine, _ = after(lambda config, rng: 0.15, 20)
    last = engine.trials()[-1]
    assert last.costs["size"] == last.intervals["size"][0]
    assert last.intervals["size"][1] == pytest.approx(1000 * math.exp(0.15), rel=0.02)
    assert last.metrics["size"] == pytest.approx(1000 * math.exp(0.15))
    assert engine.trials()[0].intervals["size"] == list(INTERVAL)


def test_an_uncertain_cost_meets_a_limit_with_a_probability() -> None:
    def feasibility(limit: float) -> float | None:
        rule = Expression.parse(f"size <= {limit}", "test")
        asked = dataclasses.replace(problem(), constraints=(rule,))
        found = CandidateFilter(asked).check({"x": 0.5, "y": 0.5}, "", set())
        return None if found is None else math.exp(found.log_feasibility)

    assert feasibility(1000.0) == pytest.approx(0.5)
    assert feasibility(1000 * math.exp(TOLERANCE)) == pytest.approx(0.8, abs=0.05)  # Φ(1) = .84, in tenths
    assert feasibility(5000.0) == 1.0
    assert feasibility(INTERVAL.low - 1) is None
