"""Belief over seeds, the probability of being on the front, and running a recipe again: against closed forms."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import multivariate_normal, norm

from autoreg.engine import Budget, Engine, EventLog, Normalizer, Result, read_state
from autoreg.engine.acquisition.reevaluation import (
    MAX_REEVALUATED_SHARE,
    MAX_RUNS,
    best_reevaluation,
    log_gains,
    realized_ratio,
    reevaluation_seed,
)
from autoreg.engine.log.events import Event
from autoreg.engine.log.optuna_view import OptunaView
from autoreg.engine.pareto.front import Axis
from autoreg.engine.problem import Problem
from autoreg.engine.surrogate.noise_model import (
    NoiseVariances,
    Posterior,
    PosteriorEstimator,
    Runs,
    covariance,
    fit_noise,
    front_probabilities,
    log_likelihood,
    mean_qualities,
    posterior,
)
from autoreg.engine.surrogate.output_warping import HalfRank
from autoreg.errors import StudyError
from autoreg.space import digest
from autoreg.trial_info import TrialInfo
from tests.engine.acquisition.test_shared_cost import toy_phase_costs
from tests.engine.problems import DENSE, OBJECTIVES, keys, toy_costs, toy_error, toy_space

SCALE = Normalizer.from_dense({"error": "min", "flops": "min"}, DENSE, "error", 0.9)


def noisy(config: dict[str, Any], seed: int, deviation: float = 0.03) -> float:
    """The toy's error with luck that depends on recipe and seed alone."""
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
    return Engine(toy_space(), OBJECTIVES, **(given | more))


def drive(engine: Engine, deviation: float = 0.03, limit: int = 10_000) -> None:
    for _ in range(limit):
        ask = engine.ask()
        if ask is None:
            return
        error = noisy(ask.config, ask.seed, deviation)
        engine.tell(ask.number, Result("COMPLETE", {"error": error}, TrialInfo(epochs_run=9)))


# -- the belief ---------------------------------------------------------------------------------


def some_runs(rng: np.random.Generator) -> tuple[Runs, np.ndarray]:
    """Five recipes, eight runs, three groups."""
    root = rng.standard_normal((5, 5))
    runs = Runs(rng.standard_normal(8), np.array([0, 1, 2, 3, 4, 0, 1, 0]), np.array([0, 0, 0, 1, 1, 2, 2, 0]))
    return runs, root @ root.T / 5


def test_the_posterior_is_that_of_the_joint_gaussian() -> None:
    """By conditioning the joint distribution of recipes, shared luck, own luck and runs, written out in full."""
    rng = np.random.default_rng(0)
    runs, prior = some_runs(rng)
    noise = NoiseVariances(seed_variance=0.5, shared=0.2, lack_of_fit=0.1)
    recipes, shared, own = np.eye(5)[runs.recipe], np.eye(3)[runs.group], np.eye(8)
    sources = np.zeros((5 + 3 + 8,) * 2)
    sources[:5, :5], sources[5:8, 5:8], sources[8:, 8:] = prior + 0.1 * np.eye(5), 0.2 * np.eye(3), 0.3 * np.eye(8)
    to_runs = np.hstack([recipes, shared, own])
    seen = to_runs @ sources @ to_runs.T
    assert covariance(runs, prior, noise) == pytest.approx(seen)
    gain = (sources @ to_runs.T)[:5] @ np.linalg.inv(seen)
    mean, spread = posterior(runs, prior, noise)
    assert mean == pytest.approx(runs.scores.mean() + gain @ (runs.scores - runs.scores.mean()))
    assert spread == pytest.approx(sources[:5, :5] - gain @ (to_runs @ sources)[:, :5])


def test_a_lone_observation_is_shrunk_by_noise_over_variance() -> None:
    """Independent recipes: the textbook weights, with the runs of one recipe averaged."""
    runs = Runs(np.array([1.0, -2.0, 1.0, 3.0, -3.0]), np.array([0, 1, 2, 2, 2]), np.arange(5))
    mean, spread = posterior(runs, 4.0 * np.eye(3), NoiseVariances(seed_variance=1.0, shared=0.0, lack_of_fit=0.0))
    assert mean == pytest.approx([1.0 * 4 / 5, -2.0 * 4 / 5, (1 / 3) * 4 / (4 + 1 / 3)])
    assert np.diag(spread) == pytest.approx([4 / 5, 4 / 5, 4 / 13])
    together = Runs(runs.scores, runs.recipe, np.array([0, 1, 2, 2, 2]))
    alike = posterior(together, 4.0 * np.eye(3), NoiseVariances(seed_variance=1.0, shared=1.0 - 1e-9, lack_of_fit=0.0))
    assert alike[1][2, 2] == pytest.approx(4 / 5, rel=1e-6), "three runs with the same luck are worth one"


def test_the_likelihood_is_that_of_a_gaussian() -> None:
    runs, prior = some_runs(np.random.default_rng(1))
    for noise in (NoiseVariances(0.5, 0.2, 0.1), NoiseVariances(1.0, 0.9, 0.0)):
        law = multivariate_normal(np.full(8, runs.scores.mean()), covariance(runs, prior, noise))
        expected = float(law.logpdf(runs.scores)) + 4 * math.log(2 * math.pi)
        assert log_likelihood(runs, prior, noise) == pytest.approx(expected)


def test_replicates_tell_luck_from_quirk_and_variants_what_is_shared() -> None:
    rng = np.random.default_rng(2)
    recipe, training = np.repeat(np.arange(40), 2), np.repeat(np.arange(10), 4)
    prior = 0.01 * np.eye(40)

    def found(luck: float, shared: float, quirk: float) -> NoiseVariances:
        group = np.column_stack([2 * training, 2 * training + 1]).reshape(-1)
        luck_of = math.sqrt(shared) * rng.standard_normal(20)[group]
        own = math.sqrt(luck - shared) * rng.standard_normal(80) + math.sqrt(quirk) * rng.standard_normal(40)[recipe]
        return fit_noise(Runs(luck_of + own, recipe, group), prior, luck + quirk)

    assert found(1.0, 0.0, 0.0).seed_variance == 1.0
    assert found(0.1, 0.0, 0.9).seed_variance == pytest.approx(0.1)
    assert found(0.0, 0.0, 1.0).seed_variance == pytest.approx(0.01)
    assert found(1.0, 0.0, 0.0).shared == 0.0
    assert found(1.0, 0.9, 0.0).shared == pytest.approx(0.9)


def test_of_two_points_the_dearer_is_on_the_front_with_the_probability_that_it_is_better() -> None:
    for gap, rho in ((0.3, 0.0), (0.3, 0.8), (-0.5, 0.5)):
        spread = np.array([[0.04, rho * 0.06], [rho * 0.06, 0.09]])
        values = np.array([[0.0, 1.0], [0.0, 2.0]])
        got = front_probabilities(values, 0, np.array([gap, 0.0]), spread, seed=0, draws=4096)
        expected = norm.cdf(gap / math.sqrt(0.04 + 0.09 - 2 * rho * 0.06))
        assert got[0] == 1.0
        assert got[1] == pytest.approx(expected, abs=4 * 0.5 / math.sqrt(4096))
        assert got.tolist() == front_probabilities(values, 0, np.array([gap, 0.0]), spread, seed=0, draws=4096).tolist()
    values = np.array([[0.1, 1.0], [0.2, 2.0], [0.05, 3.0]])
    sure = front_probabilities(values, 0, values[:, 0], np.zeros((3, 3)), seed=0)
    assert sure.tolist() == [1.0, 0.0, 1.0]


# -- what another run is worth -------------------------------------------------------------------


class Straight(HalfRank):
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


def test_another_run_is_worth_what_the_front_of_beliefs_gains_by_it() -> None:
    """By Monte Carlo: the belief of one recipe moves, the front is chosen anew, and its hypervolume is taken."""
    scale = Normalizer((Axis("error", "min", 0.0, 1.0), Axis("flops", "min", 0.0, 1.0)))
    points = [(0.8, 0.1), (0.5, 0.3), (0.52, 0.35), (0.3, 0.7), (0.9, 0.9)]
    state = state_of(points, scale)
    problem = Problem(toy_space(), OBJECTIVES, "error", digest)
    spread = np.diag([0.01, 0.02, 0.01, 0.003, 0.01])
    belief = Posterior(
        (0, 1, 2, 3, 4), np.array([e for e, _ in points]), spread, NoiseVariances(0.02, 0.0, 0.0), Straight()
    )
    got = np.exp(log_gains(problem, state, belief))
    rng = np.random.default_rng(0)
    before = scale.hypervolume(points)
    for k in range(5):
        moved = spread[k, k] / math.sqrt(spread[k, k] + 0.02)
        after = []
        for drawn in points[k][0] + moved * rng.standard_normal(4000):
            now = list(points)
            now[k] = (max(float(drawn), 0.0), points[k][1])
            after.append(scale.hypervolume(now) - before)
        assert got[k] == pytest.approx(np.mean(after), abs=4 * np.std(after) / math.sqrt(4000) + 0.03 * got[k] + 1e-9)
    best = best_reevaluation(problem, state, belief, 0, None)
    assert best is None, "one of five trials would be too large a share"


def test_promises_are_held_against_what_came() -> None:
    scale = Normalizer((Axis("error", "min", 0.0, 1.0), Axis("flops", "min", 0.0, 1.0)))
    problem = Problem(toy_space(), OBJECTIVES, "error", digest)
    state = state_of([(0.5, 0.5), (0.5, 0.4), (0.6, 0.6)], scale)
    assert realized_ratio(problem, state) == 1.0
    for record in state.records[1:]:
        record.predicted = {"gain": 0.1}
    came = 0.1 * 0.5  # the second trial gained this, the third nothing; four more are taken to have kept their word
    assert realized_ratio(problem, state) == pytest.approx((came + 0.4) / (0.2 + 0.4))


# -- the engine ----------------------------------------------------------------------------------


def test_recipes_are_run_again_with_other_seeds_and_stay_one_recipe(tmp_path: Path) -> None:
    engine = engine_of(60, seed=1)
    drive(engine, 0.05)
    rows = engine.trials()
    again = [r for r in rows if r["reevaluation_of"] is not None]
    assert 2 <= len(again) <= MAX_REEVALUATED_SHARE * len(rows) + 1
    for row in again:
        first = rows[row["reevaluation_of"]]
        assert row["config"] == first["config"]
        assert (row["costs"], row["source"], first["reevaluation_of"]) == (first["costs"], "reevaluation", None)
    runs = Counter(r["reevaluation_of"] for r in again)
    assert max(runs.values()) < MAX_RUNS
    for number in runs:
        seeds = [rows[number]["seed"]] + [r["seed"] for r in again if r["reevaluation_of"] == number]
        assert seeds == [1] + [reevaluation_seed(1, k + 1) for k in range(len(seeds) - 1)]
    firsts = [r for r in rows if r["reevaluation_of"] is None]
    assert len(set(keys([r["config"] for r in firsts]))) == len(firsts)
    assert not {r["number"] for r in again} & {*engine.front(), *engine.incumbents(), *engine.probabilities()}
    points = [[r["metrics"]["error"], r["metrics"]["flops"]] for r in firsts]
    assert engine.history()[-1] == engine.hypervolume() == pytest.approx(SCALE.hypervolume(points))
    view = OptunaView(tmp_path / "o.journal", "toy", OBJECTIVES, engine.problem.space)
    view.sync(engine.state.records)
    told = view.study.get_trials(deepcopy=False)
    assert [t.user_attrs["reevaluation_of"] for t in told] == [r["reevaluation_of"] for r in rows]


def test_without_replicates_no_recipe_is_run_twice() -> None:
    for more in ({"replicate": False}, {"sampler": "tpe"}):
        engine = engine_of(40, **more)
        drive(engine, 0.05)
        assert all(r["reevaluation_of"] is None for r in engine.trials())
        assert len(set(keys([r["config"] for r in engine.trials()]))) == 40


def test_a_study_without_luck_finds_that_out_with_two_runs() -> None:
    engine = engine_of(52)
    drive(engine, 0.0)
    assert sum(r["reevaluation_of"] is not None for r in engine.trials()) == 2
    believed = engine.incumbents()
    observed = {n: engine.trials()[n]["metrics"]["error"] for n in engine.front()}
    assert believed == pytest.approx(observed, rel=0.02)
    assert np.mean([engine.probabilities()[n] for n in engine.front()]) > 0.9


def test_beliefs_are_nearer_to_the_truth_than_what_was_observed() -> None:
    """Over the observed front, whose members were chosen for their luck; and probabilities are calibrated."""
    observed, believed, foretold, true = [], [], [], []
    for seed in range(2):
        engine = engine_of(60, seed=seed)
        drive(engine, 0.05)
        rows, chances = engine.trials(), engine.probabilities()
        firsts = [r for r in rows if r["reevaluation_of"] is None]
        qualities = PosteriorEstimator(engine.problem, engine._learner).qualities(engine.state)
        for n in engine.front():
            truth = toy_error(rows[n]["config"])
            observed.append(abs(rows[n]["metrics"]["error"] - truth))
            believed.append(abs(qualities[n] - truth))
        values = [(toy_error(r["config"]), r["metrics"]["flops"]) for r in firsts]
        on = {
            r["number"]
            for r, v in zip(firsts, values, strict=True)
            if not any(w[0] <= v[0] and w[1] <= v[1] and w != v for w in values)
        }
        foretold += list(chances.values())
        true += [n in on for n in chances]
    assert np.mean(believed) < 0.9 * np.mean(observed)
    assert np.mean((np.array(foretold) - true) ** 2) < 0.15
    assert np.sum(foretold) == pytest.approx(np.sum(true), rel=0.4)


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


def stripped(log: EventLog) -> list[dict[str, Any]]:
    return [r.row() | {"asked_at": 0, "ended_at": 0} for r in read_state(log.events).records]


def test_killed_and_resumed_equals_never_killed_with_price_and_replicates(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"

    def make(log: EventLog) -> Engine:
        return engine_of(36, log=log, seed=3, price=toy_phase_costs, group=lambda c: toy_phase_costs(c)[0][0])

    with EventLog(path) as log:
        engine = make(log)
        drive(engine)
        expected = stripped(log)
        figures = (engine.front(), engine.hypervolume(), engine.incumbents(), engine.probabilities())
    whole = path.read_bytes()
    replicate = next(r["number"] for r in expected if r["reevaluation_of"] is not None)
    assert any(r["source"] == "screened" for r in expected[replicate:])
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
