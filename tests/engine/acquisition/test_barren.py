"""Trainings whose variants bring nothing."""

from __future__ import annotations

import math
from typing import Any

import pytest

from autoreg.engine import Engine, Problem, Result, Strategy
from autoreg.engine.acquisition.barren import BarrenTrainings
from autoreg.space import Space
from autoreg.trial_info import TrialInfo

SPACE = Space.from_dict({"training": ["a", "b"], "bits": {"int": [1, 32]}})


def training_of(config: dict[str, Any]) -> str:
    return str(config["training"])


def test_what_is_expected_of_a_training_falls_with_each_variant_that_extends_nothing() -> None:
    problem = Problem(SPACE, {"error": "min", "flops": "min"}, "error")
    outcomes = [("a", 1, 0.3, 10.0), ("a", 2, 0.3, 10.0), ("b", 3, 0.4, 20.0), ("a", 4, 0.3, 11.0), ("a", 5, 0.2, 30.0)]
    warm = [{"training": training, "bits": bits} for training, bits, _, _ in outcomes]
    engine = Engine(problem, strategy=Strategy("random", warm_start=warm))
    barren = BarrenTrainings(problem, training_of)
    seen = []
    for _, _, error, flops in outcomes:
        ask = engine.ask()
        assert ask is not None
        engine.tell(ask.number, Result("COMPLETE", {"error": error, "flops": flops}, TrialInfo()))
        seen.append(barren.log_discounts(engine.state, [{"training": "a"}, {"training": "b"}]).tolist())
    counts = [[0, 0], [1, 0], [1, 1], [2, 1], [0, 1]]  # an equal trial extends nothing, the last is the most accurate
    assert seen == [pytest.approx([-math.log1p(n) for n in row]) for row in counts]
    fresh = BarrenTrainings(problem, training_of).log_discounts(engine.state, [{"training": "a"}, {"training": "b"}])
    assert fresh.tolist() == pytest.approx(seen[-1]), "at once as one by one"
    assert BarrenTrainings(problem, None).log_discounts(engine.state, [{"training": "b"}]).tolist() == [0.0]
