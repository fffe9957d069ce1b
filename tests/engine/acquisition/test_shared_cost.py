"""Remaining costs follow from recorded trials, and the value of a set of variants is its joint gain per epoch."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from autoreg.engine import Budget, Engine, Normalizer, Result
from autoreg.engine.acquisition.shared_cost import (
    TRIAL_OVERHEAD,
    PhaseCost,
    PhaseCosts,
    SharedWorkLedger,
    dominant_phase,
    log_acquisition,
)
from autoreg.engine.pareto.ehvi import NondominatedPartitioning
from autoreg.engine.pareto.front import improvements
from autoreg.space import digest
from autoreg.trial_info import TrialInfo
from tests.engine.problems import DENSE, OBJECTIVES, build_engine, toy_costs, toy_error, toy_space

TRAINED = 10.0
TUNED = 2.0


def toy_phase_costs(config: dict[str, Any]) -> PhaseCosts:
    """Training depends on rate and regularizer, tuning on the amount too, and bits are free."""
    train = digest({"rate": config["rate"], "regularizer": config["regularizer"]})
    tune = train + digest({"amount": config["amount"], "width": config["width"]})
    return (train, TRAINED), (tune, TUNED), (digest(config), 0.0)


def sharing_engine(trials: int, **more: Any) -> Engine:
    given: dict[str, Any] = {
        "quality": "error",
        "costs": toy_costs,
        "normalizer": Normalizer.from_dense({"error": "min", "flops": "min"}, DENSE, "error", 0.9),
        "budget": Budget(trials=trials),
        "identity": digest,
        "phase_costs": toy_phase_costs,
    }
    return build_engine(toy_space(), OBJECTIVES, **(given | more))


def brute_force(gains: np.ndarray, remaining: list[PhaseCosts]) -> list[float]:
    """Worth by trying every group, set size and order as the documentation words it."""

    def alone(i: int) -> float:
        return float(gains[i].sum()) / (sum(e for _, e in remaining[i]) + TRIAL_OVERHEAD)

    def joint(variants: list[int]) -> float:
        return float(gains[variants].max(axis=0).sum())

    values = [alone(i) for i in range(len(gains))]
    keys = {key for phase_costs in remaining for key, _ in phase_costs}
    for key in keys:
        members = [i for i, phase_costs in enumerate(remaining) if key in dict(phase_costs)]
        place = [k for k, _ in remaining[members[0]]].index(key)
        if len(members) < 2 or sum(e for _, e in remaining[members[0]][: place + 1]) == 0:
            continue
        own = {i: sum(e for _, e in remaining[i][place + 1 :]) + TRIAL_OVERHEAD for i in members}
        for size in {min(s, len(members)) for s in (1, 4, 16)}:
            chosen: list[int] = []
            for _ in range(size):
                found = {i: joint([*chosen, i]) for i in members if i not in chosen}
                chosen.append(max(found, key=found.__getitem__))
            due = {k: e for i in chosen for k, e in remaining[i]}
            rate = gains[chosen].max(axis=0).sum() / (sum(due.values()) + TRIAL_OVERHEAD * size)
            most = max(gains[i].sum() / own[i] for i in chosen)
            for i in chosen:
                values[i] = max(values[i], rate * gains[i].sum() / own[i] / most)
    return values


def test_worth_is_what_trying_every_set_gives() -> None:
    rng = np.random.default_rng(0)
    for count, levels in ((1, 3), (7, 1), (24, 6), (40, 4)):
        gains = rng.gamma(0.5, size=(count, levels))
        prefix = rng.integers(4, size=count)
        remaining: list[PhaseCosts] = [
            ((f"t{p}", 8.0 * (p > 0)), (f"t{p}s{p + rng.integers(3)}", 2.0), (f"own{i}", 0.5))
            for i, p in enumerate(prefix)
        ]
        assert np.exp(log_acquisition(np.log(gains), remaining)).tolist() == pytest.approx(
            brute_force(gains, remaining)
        )


def test_where_nothing_that_remains_is_shared_the_value_is_gain_per_epoch() -> None:
    gains = np.log([[1.0, 2.0], [0.5, 0.1], [4.0, 0.0001]])
    paid: list[PhaseCosts] = [(("same", 0.0), (f"own{i}", float(i))) for i in range(3)]
    expected = [3.0 / TRIAL_OVERHEAD, 0.6 / (1 + TRIAL_OVERHEAD), 4.0001 / (2 + TRIAL_OVERHEAD)]
    assert np.exp(log_acquisition(gains, paid)) == pytest.approx(expected)
    assert log_acquisition(np.full((2, 3), -np.inf), paid[:2]).tolist() == [-math.inf, -math.inf]
    assert log_acquisition(np.zeros((0, 3)), []).shape == (0,)


def test_a_training_that_opens_many_variants_beats_a_mediocre_one_that_is_paid() -> None:
    """One leftover variant of a paid training against sixteen good ones of a new training: alone none would win."""
    steps = 16
    gains = np.full((1 + steps, steps), -np.inf)
    gains[0, 0] = np.log(0.4)
    gains[1:][np.eye(steps, dtype=bool)] = 0.0
    remaining: list[PhaseCosts] = [(("old", 0.0),), *[(("new", 8.0),)] * steps]
    values = log_acquisition(gains, remaining)
    assert np.exp(values[0]) == pytest.approx(0.4 / TRIAL_OVERHEAD)
    assert np.exp(values[1:]) == pytest.approx(np.full(steps, 16 / (8 + 16 * TRIAL_OVERHEAD)))
    assert values.argmax() > 0
    alone = log_acquisition(gains[:2], remaining[:2])
    assert alone.argmax() == 0


def test_the_joint_gain_of_variants_that_share_their_noise_is_exact() -> None:
    """Against Monte Carlo: qualities that move together, over a front with two objectives."""
    rng = np.random.default_rng(3)
    front, corner = np.array([[0.2, 0.8], [0.5, 0.4], [0.8, 0.1]]), np.array([1.0, 1.1])
    costs, means = np.array([0.05, 0.3, 0.6]), np.array([0.7, 0.45, 0.3])
    region = NondominatedPartitioning.of(front, corner)
    terms, coarse = (region.log_ehvi_parts(costs[:, None], means, np.full(3, 0.15), cuts=c) for c in (list(costs), []))
    assert np.exp(terms).sum(axis=1) == pytest.approx(np.exp(region.log_ehvi(costs[:, None], means, np.full(3, 0.15))))
    joint = float(np.exp(terms).max(axis=0).sum())
    sample = []
    for noise in 0.15 * rng.standard_normal(1500):
        points = np.column_stack([np.maximum(means + noise, 0.0), costs])
        steps = [improvements(points[k : k + 1], np.vstack([front, points[:k]]), corner)[0] for k in range(3)]
        sample.append(sum(steps))
    assert joint == pytest.approx(np.mean(sample), abs=4 * np.std(sample) / math.sqrt(len(sample)))
    assert np.exp(terms).sum(axis=1).max() <= np.exp(coarse).max(axis=0).sum() <= joint <= np.exp(terms).sum()


def test_what_is_paid_follows_from_the_records() -> None:
    engine = sharing_engine(30, prune=False)
    config = toy_space().sample(np.random.default_rng(0)) | {"width": 2}
    ledger = SharedWorkLedger(toy_phase_costs)
    quarter = TrialInfo(phase_fractions=[0.25, 0, 0])
    assert ledger.update(engine.state).remaining(config, 0) == list(toy_phase_costs(config))
    for known, result, left in (
        (config | {"rate": 0.5}, Result("COMPLETE", {"error": 0.3}), [TRAINED, TUNED, 0]),
        (config | {"amount": 0.1}, Result("FAIL"), [TRAINED, TUNED, 0]),
        (config | {"amount": 0.2}, Result("PRUNED", info=quarter), [0.75 * TRAINED, TUNED, 0]),
        (config | {"amount": 0.3}, Result("PRUNED"), [0.75 * TRAINED, TUNED, 0]),
        (config | {"amount": 0.4}, Result("COMPLETE", {"error": 0.3}), [0, TUNED, 0]),
        (config | {"bits": 3}, Result("COMPLETE", {"error": 0.3}), [0, 0, 0]),
    ):
        engine._initial._starters.append((str(len(engine.state.records)), known))
        ask = engine.ask()
        assert ask is not None
        assert ask.config == known
        engine.tell(ask.number, result)
        assert [e for _, e in ledger.update(engine.state).remaining(config, 0)] == pytest.approx(left)
        again = SharedWorkLedger(toy_phase_costs).update(engine.state)
        assert again.remaining(config, 0) == ledger.remaining(config, 0), "at once or bit by bit"
        assert again.remaining(config, 1) == list(toy_phase_costs(config)), "another seed shares nothing"


def test_teachers_cost_once_whoever_asks_and_whatever_the_seed() -> None:
    """A teacher's training is the dense recipe's with a seed of its own, and says nothing of what stands before it."""
    first, second = ("dense", 10.0, 0), ("dense", 10.0, 77)
    plans: dict[float, list[PhaseCost]] = {
        0.1: [("dense", 10.0)],
        0.2: [first, second, ("learns from two", 4.0)],
        0.3: [first, ("learns from one", 5.0)],
        0.4: [first, ("dense", 10.0), ("tuned", 3.0)],
    }

    def phase_costs(config: dict[str, Any]) -> list[PhaseCost]:
        return plans[config["amount"]]

    engine = sharing_engine(4, prune=False)
    base = toy_space().sample(np.random.default_rng(0))
    ledger = SharedWorkLedger(phase_costs)

    def left(amount: float, seed: int = 0) -> list[float]:
        remaining = ledger.update(engine.state).remaining(base | {"amount": amount}, seed)
        assert len(dict(remaining)) == len(remaining), "a key stands twice"
        return [epochs for _, epochs in remaining]

    assert left(0.2) == [10.0, 10.0, 4.0]
    assert left(0.4) == [10.0, 3.0]  # its teacher is the network that it starts from
    assert left(0.4, seed=5) == [10.0, 10.0, 3.0]
    for amount, ours, others in ((0.1, [0.0, 10.0, 4.0], [0.0, 5.0]), (0.2, [0.0, 0.0, 0.0], [0.0, 5.0])):
        engine._initial._starters.append((str(amount), base | {"amount": amount}))
        ask = engine.ask()
        assert ask is not None
        engine.tell(ask.number, Result("COMPLETE", {"error": 0.3}))
        assert left(0.2) == ours
        assert left(0.3) == left(0.3, seed=5) == others
    assert left(0.2, seed=5) == [0.0, 0.0, 4.0]
    assert dominant_phase(plans[0.2]) == (2, "learns from two")


def test_the_dominant_phase_is_the_first_of_the_most_expensive() -> None:
    assert dominant_phase([("a", 1.0), ("b", 3.0), ("c", 3.0)]) == (1, "b")
    assert dominant_phase([("a", 0.0)]) is None
    assert dominant_phase([]) is None


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_phase_costs_let_more_be_found_for_the_same_epochs(seed: int) -> None:
    """Hypervolume after 400 epochs with the phase costs and without, in a study where training is most of the work."""
    reached: dict[str, float] = {}
    for name, function in (("shared", toy_phase_costs), ("blind", None)):
        engine = sharing_engine(200, phase_costs=function, prune=False, seed=seed)
        ledger, spent = SharedWorkLedger(toy_phase_costs), 0.0
        while spent < 400 and (ask := engine.ask()) is not None:
            spent += sum(e for _, e in ledger.update(engine.state).remaining(ask.config, seed)) + TRIAL_OVERHEAD
            engine.tell(ask.number, Result("COMPLETE", {"error": toy_error(ask.config)}))
        reached[name] = engine.hypervolume() or 0.0
    assert reached["shared"] > reached["blind"]
