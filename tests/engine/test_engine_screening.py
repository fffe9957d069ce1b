"""What is passed over, screened and predicted, and what the search gains by it."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from autoreg.engine import (
    Budget,
    Interval,
    Result,
    summary,
)
from autoreg.engine.acquisition.attained_front import AttainedFront
from autoreg.space import digest
from tests.engine.problems import (
    build_engine,
    next_ask,
    run,
    toy_costs,
    toy_error,
    toy_space,
)
from tests.engine.toy_engine import toy


def test_candidates_that_cannot_extend_the_front_are_passed_over() -> None:
    """A free lunch is on the table: no error at a thirtieth of the cost. Only cheaper recipes can extend that."""
    space = toy_space()
    best = space.sample(np.random.default_rng(0)) | {"amount": 0.5, "bits": 4, "width": 2}
    engine = toy(30, starters=[("known", best)], screen=False)
    ask = next_ask(engine)
    limit = ask.costs["flops"]
    engine.tell(ask.number, Result("COMPLETE", {"error": 0.0}))
    costs = []
    for _ in range(8):
        ask = next_ask(engine)
        costs.append(ask.costs["flops"])
        engine.tell(ask.number, Result("COMPLETE", {"error": 0.5}))
    assert max(costs) < limit
    free = toy(30, starters=[("known", best)], sampler="tpe")
    run(free)
    assert max(r.costs["flops"] for r in free.trials()[1:]) > limit, "TPE alone knows nothing of this"


def test_a_cost_with_an_error_is_an_interval_and_never_dominates_as_if_exact() -> None:
    """Latency within a factor of two: the middle is recorded, and a twin a little dearer is not passed over for it."""
    asked = {"low": 100.0, "middle": 200.0, "high": 400.0}
    engine = toy(30, costs=lambda c: {"flops": Interval(**asked)}, screen=False)
    ask = next_ask(engine)
    assert ask.costs == {"flops": 100.0}
    engine.tell(ask.number, Result("COMPLETE", {"error": 0.0}))
    record = engine.state.records[0]
    assert record.metrics["flops"] == 200.0
    assert record.intervals == {"flops": [100.0, 200.0, 400.0]}
    frontier = AttainedFront(engine.problem)
    assert frontier.could_extend(engine.state, [{"flops": f} for f in (100.0, 300.0, 500.0)]).tolist() == [
        True,
        True,
        False,
    ]
    second = next_ask(engine)
    engine.tell(second.number, Result("COMPLETE", {"error": 0.0, "flops": 150.0}))
    assert AttainedFront(engine.problem).could_extend(engine.state, [{"flops": 160.0}]).tolist() == [False], (
        "what was measured is exact"
    )


def test_what_is_sought_is_improvement_per_epoch_to_be_paid() -> None:
    """All with one of two widths have their training paid for: they are preferred, the other width is not starved."""
    share = {}
    for name, function in (("even", None), ("shared", lambda c: [(digest(c), 0.0 if c["width"] == 2 else 50.0)])):
        engine = toy(60, seed=2, phase_costs=function)
        run(engine)
        widths = [r.config["width"] for r in engine.trials() if r.source == "screened"]
        assert len(widths) >= 8
        share[name] = np.mean(np.array(widths) == 2)
    assert share["shared"] > max(2 * share["even"], 0.5)


def test_screening_is_used_once_the_predictor_is_trusted() -> None:
    engine = toy(45)
    run(engine)
    sources = [r.source for r in engine.trials()]
    assert "screened" not in sources[:8]
    assert sources.count("screened") >= 5
    quality = engine.predictor()
    assert quality["trusted"]
    assert quality["log_score"] > quality["log_score_baseline"]
    assert sum(quality["weights"].values()) == pytest.approx(1)
    predictions = [r.prediction for r in engine.trials() if r.source == "screened"]
    for p in predictions:
        assert p is not None
        assert p.low is not None
        assert p.high is not None
        assert p.low <= p.objectives["error"] <= p.high
        assert p.trusted


def test_with_shuffled_labels_the_search_is_no_worse_than_random() -> None:
    """Errors that have nothing to do with the recipe: there is only cost to be won, and no wrong lesson to follow."""
    reached: dict[str, list[float]] = {"auto": [], "random": []}
    for sampler, seed in itertools.product(reached, range(6)):
        rng = np.random.default_rng(seed)
        engine = toy(45, seed=seed, sampler=sampler)
        while (ask := engine.ask()) is not None:
            engine.tell(ask.number, Result("COMPLETE", {"error": float(rng.uniform(0.1, 0.8))}))
        reached[sampler].append(engine.hypervolume() or 0.0)
    assert np.mean(reached["auto"]) >= np.mean(reached["random"])


def test_engine_without_known_costs_or_scale_still_searches() -> None:
    """A custom objective with two unknown objectives: the scale is fixed by ten complete trials."""
    engine = build_engine(
        toy_space(), {"accuracy": "max", "time": "min"}, quality="accuracy", budget=Budget(trials=40), identity=digest
    )
    while (ask := engine.ask()) is not None:
        cost = toy_costs(ask.config)["flops"]
        engine.tell(ask.number, Result("COMPLETE", {"accuracy": 1 - toy_error(ask.config), "time": cost}))
        assert (engine.hypervolume() is not None) == (len(engine.state.ended_numbers) >= 10)
    history = engine.history()
    assert len(history) == 40
    assert all(b >= a for a, b in itertools.pairwise(history))
    assert history[-1] == pytest.approx(engine.hypervolume())
    best = max(r.metrics["accuracy"] for r in engine.trials())
    assert best in [engine.trials()[n].metrics["accuracy"] for n in engine.front()]


def test_trials_that_all_end_alike_do_no_harm() -> None:
    """One error for all, one cost for all: nothing to learn, nothing to divide by."""
    engine = toy(32, costs=lambda c: {"flops": 100.0}, reevaluate=False)
    while (ask := engine.ask()) is not None:
        engine.tell(ask.number, Result("COMPLETE", {"error": 0.5}))
    assert math.isfinite(engine.predictor()["log_score"])
    assert len(engine.front()) == 32


def test_the_history_from_some_trial_on_is_the_end_of_the_whole() -> None:
    engine = toy(30)
    run(engine)
    whole = engine.history()
    for since in (0, 1, 7, 29):
        assert summary.history(engine.problem, engine.state, since) == pytest.approx(whole[since:])
