"""What the surrogate is fitted to, and which models it is made of."""

from __future__ import annotations

import numpy as np

from autoreg.engine import Engine, Problem, Result, Strategy
from autoreg.engine.surrogate.fitting import SurrogateFitter
from autoreg.space import Space
from tests.engine.problems import OBJECTIVES, toy_costs, toy_error, toy_space


def engine_of_draws(trials: int) -> Engine:
    engine = Engine(Problem(toy_space(), OBJECTIVES, "error", costs=toy_costs), strategy=Strategy("random"))
    for _ in range(trials):
        tell_one(engine)
    return engine


def tell_one(engine: Engine) -> None:
    ask = engine.ask()
    assert ask is not None
    engine.tell(ask.number, Result("COMPLETE", {"error": toy_error(ask.config)}))


def test_cost_alone_counts_where_it_was_the_better_predictor() -> None:
    """Once the others are clearly behind it, it is one of them, with most of the weight, and proposals go on."""
    engine, rng = engine_of_draws(20), np.random.default_rng(0)
    fitter = SurrogateFitter(engine.problem)
    before = fitter.fit(engine.state)
    assert before is not None
    assert "cost_only" not in before.weights
    for k in range(20):
        truth = float(rng.normal())
        wrong, right = (truth + 3.0, 0.3), (truth + 0.1 * float(rng.normal()), 0.3)
        predictions = {"gp": wrong, "ridge": wrong, "trees": wrong, "cost_only": right, "mean_only": (0.0, 1.0)}
        fitter.log_scores.update(predictions, truth, f"g{k}", 0.0)
    tell_one(engine)
    after = fitter.fit(engine.state)
    assert after is not None
    assert after.trusted
    assert after.reason.endswith("clearly worse; cost alone counts too")
    assert after.weights["cost_only"] > 0.9
    record = engine.trials()[-1]
    prediction = fitter.predict(after, record.config, record.costs)
    assert prediction is not None
    assert prediction.objectives["error"] <= max(r.metrics["error"] for r in engine.trials())


def test_a_baseline_from_outside_of_the_space_is_learned_from_as_the_nearest_config() -> None:
    space = Space.from_dict({"bits": [4, 8, 32], "activations": 32, "x": {"uniform": [0.0, 1.0]}})
    base = {"bits": 32, "activations": 32, "x": 0.5}
    outside = {"bits": 8, "activations": 8, "x": 0.5}
    problem = Problem(space, {"error": "min"}, "error", base=base)
    encoded = problem.encoded(outside)
    assert encoded is not None
    assert np.array_equal(encoded, space.encode({**base, "bits": 8}))
    assert problem.flat(outside) == {"bits": "8", "x": 0.5}
    assert not problem.contains(outside)
    engine = Engine(problem, strategy=Strategy("random", starters=[("int8", outside)]))
    for _ in range(9):
        ask = engine.ask()
        assert ask is not None
        engine.tell(ask.number, Result("COMPLETE", {"error": 0.1 + ask.config["x"]}))
    fitter = SurrogateFitter(problem)
    assert fitter.fit(engine.state) is not None
    assert fitter.observations[0].source == "int8"
    assert Problem(space, {"error": "min"}, "error").encoded(outside) is None, "without a base there is no nearest"
