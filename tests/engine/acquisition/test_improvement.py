"""The expected improvement of candidates at known cost, against Monte Carlo."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from autoreg.engine import Engine, Normalizer, Problem, Result, Strategy
from autoreg.engine.acquisition.attained_front import AttainedFront
from autoreg.engine.acquisition.improvement import log_ehvi_parts, log_expected_improvement
from autoreg.engine.pareto.front import improvements
from autoreg.engine.surrogate.fitted import FittedSurrogate
from autoreg.engine.surrogate.fitting import SurrogateFitter
from autoreg.engine.surrogate.weighting import mixture_moments
from tests.engine.problems import DENSE, OBJECTIVES, toy_costs, toy_error, toy_space

SCALE = Normalizer.from_dense(OBJECTIVES, DENSE, "error", 0.9)


def engine_after(trials: int) -> Engine:
    """A study of drawn recipes."""
    problem = Problem(toy_space(), OBJECTIVES, "error", costs=toy_costs)
    engine = Engine(problem, strategy=Strategy("random", prune=False), normalizer=SCALE)
    for _ in range(trials):
        ask = engine.ask()
        assert ask is not None
        engine.tell(ask.number, Result("COMPLETE", {"error": toy_error(ask.config)}))
    return engine


def candidates(engine: Engine, count: int) -> tuple[list[dict[str, Any]], np.ndarray, list[dict[str, float]]]:
    """Configs, their encoding and their known costs."""
    configs = [toy_space().sample(np.random.default_rng(k)) for k in range(count)]
    encoded = np.array([engine.problem.encoded(c) for c in configs])
    return configs, encoded, [toy_costs(c) for c in configs]


def fitted_to(engine: Engine) -> FittedSurrogate:
    fitted = SurrogateFitter(engine.problem).fit(engine.state)
    assert fitted is not None
    return fitted


def test_the_expected_improvement_is_that_of_draws_from_the_prediction() -> None:
    engine = engine_after(24)
    fitted, front = fitted_to(engine), AttainedFront(engine.problem)
    attained = SCALE.transform(engine.problem.table(engine.state.complete()))
    rng, compared = np.random.default_rng(0), 0
    for row, costs in zip(*candidates(engine, 24)[1:], strict=True):
        ensemble = fitted.ensembles["error"]
        models = ensemble.predict(row[None, :], fitted.log_costs([costs]))
        mean, spread = mixture_moments(models, fitted.weights)
        drawn = ensemble.hyperparameters.warp.inverse(mean + spread * rng.standard_normal(3000))
        points = SCALE.transform(np.column_stack([drawn, np.full(3000, costs["flops"])]))
        gains = improvements(points, attained, SCALE.corner)
        got = np.exp(log_expected_improvement(engine.problem, engine.state, front, fitted, row, costs, costs))
        if gains.mean() > 1e-3:
            assert got == pytest.approx(gains.mean(), rel=0.1, abs=4 * gains.std() / np.sqrt(3000))
            compared += 1
    assert compared >= 4


def test_noise_of_the_seed_lowers_what_lasts_of_an_improvement() -> None:
    engine = engine_after(24)
    fitted, front = fitted_to(engine), AttainedFront(engine.problem)
    _, (row, *_), (costs, *_) = candidates(engine, 1)
    about = (engine.problem, engine.state, front, fitted, row, costs, costs)
    lasting = [log_expected_improvement(*about, seed_variance=v) for v in (0.0, 0.01, 0.1, 100.0)]
    assert lasting == sorted(lasting, reverse=True)
    assert np.isfinite(lasting[-1])


def test_parts_add_up_to_the_same_with_and_without_cuts() -> None:
    engine = engine_after(24)
    fitted, front = fitted_to(engine), AttainedFront(engine.problem)
    _, encoded, costs = candidates(engine, 10)
    about = (engine.problem, engine.state, front, fitted, encoded, costs)
    whole, parts = log_ehvi_parts(*about), log_ehvi_parts(*about, cuts=(0.25, 0.5, 0.75))
    assert parts.shape[1] == 4 * whole.shape[1]
    assert np.exp(parts).sum(axis=1) == pytest.approx(np.exp(whole).sum(axis=1))
