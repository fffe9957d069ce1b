"""Re-evaluations: what another run gains, against Monte Carlo, and recipes that the engine runs again."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autoreg.engine import Budget, Engine, EventLog, Normalizer, Result, read_state
from autoreg.engine.acquisition.reevaluation import (
    MAX_REEVALUATED_SHARE,
    MAX_RUNS,
    best_reevaluation,
    log_knowledge_gradient,
    realized_ratio,
    reevaluation_seed,
)
from autoreg.engine.log.events import Event
from autoreg.engine.log.optuna_view import OptunaView
from autoreg.engine.log.prediction import Prediction
from autoreg.engine.log.records import Record
from autoreg.engine.pareto.front import Axis
from autoreg.engine.problem import Problem
from autoreg.engine.surrogate.noise_model import (
    NoiseVariances,
    Posterior,
    PosteriorEstimator,
    mean_qualities,
)
from autoreg.engine.surrogate.output_warping import HalfLog
from autoreg.errors import StudyError
from autoreg.space import digest
from autoreg.trial_info import TrialInfo
from tests.engine.acquisition.test_shared_cost import toy_phase_costs
from tests.engine.problems import DENSE, OBJECTIVES, build_engine, keys, toy_costs, toy_error, toy_space

SCALE = Normalizer.from_dense({"error": "min", "flops": "min"}, DENSE, "error", 0.9)


def noisy(config: dict[str, Any], seed: int, deviation: float = 0.03) -> float:
    """The toy's error with noise that depends on recipe and seed alone."""
    rng = np.random.default_rng([seed, int(digest(config)[:12], 16)])
    return float(np.clip(toy_error(config) + deviation * rng.standard_normal(), 0.001, 0.9))


def engine_of(trials: int = 60, **more: Any) -> Engine:
    given: dict[str, Any] = {
        "quality": "error",
        "costs": toy_costs,
        "normalizer": SCALE,
        "budget": Budget(trials=trials),
        "identity": digest,
        "prune": False,
    }
    return build_engine(toy_space(), OBJECTIVES, **(given | more))


def drive(engine: Engine, deviation: float = 0.03, limit: int = 10_000) -> None:
    for _ in range(limit):
        ask = engine.ask()
        if ask is None:
            return
        error = noisy(ask.config, ask.seed, deviation)
        engine.tell(ask.number, Result("COMPLETE", {"error": error}, TrialInfo(epochs_run=9)))


# -- what another run gains ------------------------------------------------------------------------


class Straight(HalfLog):
    """Scores that are the quality itself."""

    def __init__(self) -> None:
        pass

    def forward(self, values: Any) -> Any:
        return np.asarray(values, dtype=float)

    def inverse(self, scores: Any) -> Any:
        return np.asarray(scores, dtype=float)


def state_of(points: list[tuple[float, float]], normalizer: Normalizer) -> Any:
    events: list[Event] = [{"event": "start", "normalizer": normalizer.to_dict()}]
    for n, (error, cost) in enumerate(points):
        events.append({"event": "ask", "trial": n, "config": {"x": n}, "seed": 0, "costs": {"flops": cost}})
        metrics = {"error": error, "flops": cost}
        events.append({"event": "tell", "trial": n, "state": "COMPLETE", "metrics": metrics, "feasible": True})
    return read_state(events)


def test_another_run_gains_what_the_front_of_posterior_means_gains_by_it() -> None:
    """By Monte Carlo: the posterior mean of one recipe moves, the front is chosen anew, its hypervolume is taken."""
    scale = Normalizer((Axis("error", "min", 0.0, 1.0), Axis("flops", "min", 0.0, 1.0)))
    points = [(0.8, 0.1), (0.5, 0.3), (0.52, 0.35), (0.3, 0.7), (0.9, 0.9)]
    state = state_of(points, scale)
    problem = Problem(toy_space(), OBJECTIVES, "error", digest)
    spread = np.diag([0.01, 0.02, 0.01, 0.003, 0.01])
    seeds = np.array([0.02, 0.02, 0.01, 0.04, 0.02])
    noise = NoiseVariances(0.02, 0.0, 0.0)
    posterior = Posterior((0, 1, 2, 3, 4), np.array([e for e, _ in points]), spread, noise, seeds, Straight())
    got = np.exp(log_knowledge_gradient(problem, state, posterior))
    rng = np.random.default_rng(0)
    before = scale.hypervolume(points)
    for k in range(5):
        moved = spread[k, k] / math.sqrt(spread[k, k] + seeds[k])
        after = []
        for drawn in points[k][0] + moved * rng.standard_normal(4000):
            now = list(points)
            now[k] = (max(float(drawn), 0.0), points[k][1])
            after.append(scale.hypervolume(now) - before)
        assert got[k] == pytest.approx(np.mean(after), abs=4 * np.std(after) / math.sqrt(4000) + 0.03 * got[k] + 1e-9)
    best = best_reevaluation(problem, state, posterior, 0, None)
    assert best is None, "one of five trials would be too large a share"


def test_expected_improvements_are_compared_with_what_was_realized() -> None:
    scale = Normalizer((Axis("error", "min", 0.0, 1.0), Axis("flops", "min", 0.0, 1.0)))
    problem = Problem(toy_space(), OBJECTIVES, "error", digest)
    state = state_of([(0.5, 0.5), (0.5, 0.4), (0.6, 0.6)], scale)
    assert realized_ratio(problem, state) == 1.0
    for record in state.records[1:]:
        record.prediction = Prediction({}, expected_improvement=0.1)
    came = 0.1 * 0.5  # the second trial gained this, the third nothing; four more count as having
    assert realized_ratio(problem, state) == pytest.approx((came + 0.4) / (0.2 + 0.4))


# -- the engine ----------------------------------------------------------------------------------


def test_recipes_are_run_again_with_other_seeds_and_stay_one_recipe(tmp_path: Path) -> None:
    engine = engine_of(60, seed=1)
    drive(engine, 0.05)
    records = engine.trials()
    again = {r.number: r.reevaluation_of for r in records if r.reevaluation_of is not None}
    assert 2 <= len(again) <= MAX_REEVALUATED_SHARE * len(records) + 1
    for number, first_number in again.items():
        record, first = records[number], records[first_number]
        assert record.config == first.config
        assert (record.costs, record.source, first.reevaluation_of) == (first.costs, "reevaluation", None)
    runs = Counter(again.values())
    assert max(runs.values()) < MAX_RUNS
    for number in runs:
        seeds = [records[n].seed for n in (number, *again) if n == number or again[n] == number]
        assert seeds == [1] + [reevaluation_seed(1, k + 1) for k in range(len(seeds) - 1)]
    firsts = [r for r in records if r.reevaluation_of is None]
    assert len(set(keys([r.config for r in firsts]))) == len(firsts)
    assert not again.keys() & {*engine.front(), *engine.incumbents(), *engine.probabilities()}
    points = [[r.metrics["error"], r.metrics["flops"]] for r in firsts]
    assert engine.history()[-1] == engine.hypervolume() == pytest.approx(SCALE.hypervolume(points))
    view = OptunaView(tmp_path / "o.journal", "toy", OBJECTIVES, engine.problem.space)
    view.sync(engine.state.records)
    seen = view.study.get_trials(deepcopy=False)
    assert [t.user_attrs["reevaluation_of"] for t in seen] == [r.reevaluation_of for r in records]


def test_without_re_evaluation_no_recipe_is_run_twice() -> None:
    for more in ({"reevaluate": False}, {"sampler": "tpe"}):
        engine = engine_of(40, **more)
        drive(engine, 0.05)
        assert all(r.reevaluation_of is None for r in engine.trials())
        assert len(set(keys([r.config for r in engine.trials()]))) == 40


def test_a_study_without_noise_finds_that_out_with_two_runs() -> None:
    engine = engine_of(52)
    drive(engine, 0.0)
    assert sum(r.reevaluation_of is not None for r in engine.trials()) == 2
    estimated = engine.incumbents()
    observed = {n: engine.trials()[n].metrics["error"] for n in engine.front()}
    assert estimated == pytest.approx(observed, rel=0.02)
    assert np.mean([engine.probabilities()[n] for n in engine.front()]) > 0.9


def test_posterior_means_are_nearer_to_the_truth_than_what_was_observed() -> None:
    """Over the observed front, whose members were chosen for their noise; and probabilities are calibrated."""
    observed, estimated, predicted, true = [], [], [], []
    for seed in range(2):
        engine = engine_of(60, seed=seed)
        drive(engine, 0.05)
        records, chances = engine.trials(), engine.probabilities()
        firsts = [r for r in records if r.reevaluation_of is None]
        qualities = PosteriorEstimator(engine.problem, engine._surrogate).qualities(engine.state)
        for n in engine.front():
            truth = toy_error(records[n].config)
            observed.append(abs(records[n].metrics["error"] - truth))
            estimated.append(abs(qualities[n] - truth))
        values = [(toy_error(r.config), r.metrics["flops"]) for r in firsts]
        on = {
            r.number
            for r, v in zip(firsts, values, strict=True)
            if not any(w[0] <= v[0] and w[1] <= v[1] and w != v for w in values)
        }
        predicted += list(chances.values())
        true += [n in on for n in chances]
    assert np.mean(estimated) < 0.9 * np.mean(observed)
    assert np.mean((np.array(predicted) - true) ** 2) < 0.15
    assert np.sum(predicted) == pytest.approx(np.sum(true), rel=0.4)


def test_means_over_runs_stand_in_while_nothing_is_trusted() -> None:
    scale = Normalizer((Axis("error", "min", 0.0, 1.0), Axis("flops", "min", 0.0, 1.0)))
    state = state_of([(0.5, 0.5), (0.4, 0.4), (0.7, 0.4), (0.1, 0.4)], scale)
    state.records[2].reevaluation_of = state.records[3].reevaluation_of = 1
    assert mean_qualities(state, "error") == {1: pytest.approx(0.4)}
    problem = Problem(toy_space(), OBJECTIVES, "error", digest)
    assert [r.number for r in problem.front_candidates(state)] == [0, 1]


def test_a_reevaluation_of_a_trial_to_come_does_not_fit_together() -> None:
    with pytest.raises(StudyError, match="trial 0 repeats 3"):
        read_state([{"event": "ask", "trial": 0, "config": {}, "seed": 1, "costs": {}, "reevaluation_of": 3}])


def stripped(log: EventLog) -> list[Record]:
    records = read_state(log.events).records
    return [replace(r, asked_at=0.0, ended_at=0.0, superseded_reports={}) for r in records]


def test_killed_and_resumed_equals_never_killed_with_phase_costs_and_re_evaluations(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"

    def make(log: EventLog) -> Engine:
        return engine_of(36, log=log, seed=3, phase_costs=toy_phase_costs, group=lambda c: toy_phase_costs(c)[0][0])

    with EventLog(path) as log:
        engine = make(log)
        drive(engine)
        expected = stripped(log)
        figures = (engine.front(), engine.hypervolume(), engine.incumbents(), engine.probabilities())
    whole = path.read_bytes()
    again = next(r.number for r in expected if r.reevaluation_of is not None)
    assert any(r.source == "screened" for r in expected[again:])
    lines = whole.split(b"\n")
    asked = next(k for k, line in enumerate(lines) if b'"reevaluation_of"' in line)
    ends = np.cumsum([len(line) + 1 for line in lines[:-1]])
    for cut in (int(ends[asked - 1]), int(ends[asked]), int(ends[-1] - 30)):
        path.write_bytes(whole[:cut])
        with EventLog(path) as log:
            resumed = make(log)
            drive(resumed)
            assert stripped(log) == expected, f"cut at byte {cut}"
            assert (resumed.front(), resumed.hypervolume(), resumed.incumbents(), resumed.probabilities()) == figures
