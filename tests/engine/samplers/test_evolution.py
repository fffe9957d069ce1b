"""Evolution: children close to good parents, budgets that hold, and a front that even draws do not find."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from autoreg.engine import Budget, Normalizer
from autoreg.engine.pareto.front import Axis
from autoreg.engine.samplers.base import make_sampler
from autoreg.engine.samplers.evolution import (
    MAX_YOUNG_PARENTS,
    RANDOM_TRIALS,
    EvolutionSampler,
    other_value,
    parent_pool,
)
from autoreg.engine.samplers.history import Observation
from autoreg.space import Expression, Space
from autoreg.space.nodes import Range
from tests.engine.problems import (
    DENSE,
    OBJECTIVES,
    build_engine,
    number,
    proposed,
    run,
    toy_costs,
    toy_error,
    toy_space,
)


def seen_of(space: Space, configs: list[dict[str, Any]]) -> list[Observation]:
    return [
        Observation(k, "COMPLETE", space.flatten(c), (toy_error(c), toy_costs(c)["flops"] / 3200))
        for k, c in enumerate(configs)
    ]


def draws(space: Space, count: int, seed: int = 0) -> list[dict[str, Any]]:
    rng = np.random.default_rng(seed)
    return [space.sample(rng) for _ in range(count)]


def test_a_child_is_one_to_three_switches_from_a_parent_or_a_crossing_of_two() -> None:
    """With one parent in the pool there is nothing to cross: every child is it with one to three values changed."""
    space = toy_space()
    best = space.sample(np.random.default_rng(3)) | {"regularizer": "none"}
    seen = [Observation(k, "COMPLETE", space.flatten(best), (0.1, 0.1)) for k in range(RANDOM_TRIALS)]
    changed = []
    for k in range(200):
        child = space.flatten(proposed(EvolutionSampler(space), seen, (0, k)))
        changed.append(sum(child[p] != v for p, v in seen[0].flat.items()))
    assert set(changed) <= {0, 1, 2, 3}  # 0: a whole number may round to where it was
    assert changed.count(1) > changed.count(2) > changed.count(3) > 0
    assert changed.count(0) < 10


@pytest.mark.parametrize(
    "domain",
    [("2", "4", "8"), Range("uniform", 0.0, 0.95), Range("log", 1e-5, 1e-1), Range("int", 1, 3), Range("int", 1, 8, 3)],
    ids=str,
)
def test_another_value_differs_and_stays_inside(domain: Any) -> None:
    rng = np.random.default_rng(0)
    value = domain[0] if isinstance(domain, tuple) else domain.low
    drawn = [other_value(domain, value, rng) for _ in range(300)]
    assert np.mean([d != value for d in drawn]) > 0.95
    assert all(d in domain if isinstance(domain, tuple) else domain.low <= d <= domain.high for d in drawn)
    if isinstance(domain, Range) and not domain.is_int:
        near = [abs(number(d) - value) < 0.3 * domain.high for d in drawn]
        if domain.is_log:
            near = [number(d) < 1e-3 for d in drawn]
        assert 0.5 < np.mean(near) < 0.95, "about half are near by, the rest are drawn evenly"


def test_the_front_stays_and_others_age_out() -> None:
    space = toy_space()
    flat = space.flatten(draws(space, 1)[0])
    behind = [Observation(k, "COMPLETE", flat, (1.0, 1.0)) for k in range(2, 40)]
    ended = [Observation(0, "COMPLETE", flat, (0.0, 0.5)), Observation(1, "COMPLETE", flat, (0.5, 0.0)), *behind]
    parents, places = parent_pool(ended)
    assert [p.number for p in parents] == [0, 1, *range(40 - MAX_YOUNG_PARENTS, 40)]
    assert sorted(places) == list(range(len(parents)))
    assert {places[0], places[1]} == {0, 1}


def test_what_breaks_a_constraint_is_a_parent_only_where_all_do() -> None:
    flat = {"x": 1}
    ended = [Observation(k, "COMPLETE", flat, (float(k), 0.0), violation=float(3 - k)) for k in range(3)]
    assert [p.number for p in parent_pool(ended)[0]] == [2, 1, 0], "the least broken first"
    ended.append(Observation(3, "COMPLETE", flat, (9.0, 9.0)))
    assert [p.number for p in parent_pool(ended)[0]] == [3]


def test_a_budget_is_kept_by_switching_on() -> None:
    """Parents at a tight budget: without repair most children break it, with it nearly none does."""
    space, most = toy_space(), 60.0
    fit = [c for c in draws(space, 3000) if 0.5 * most < toy_costs(c)["flops"] <= most][:30]
    seen = seen_of(space, fit)

    def violation(config: dict[str, Any]) -> float:
        return max(toy_costs(config)["flops"] - most, 0.0)

    def broken(sampler: EvolutionSampler) -> float:
        return float(np.mean([violation(proposed(sampler, seen, (1, k))) > 0 for k in range(200)]))

    assert broken(EvolutionSampler(space)) > 0.25
    assert broken(EvolutionSampler(space, violation)) < 0.08


def test_it_beats_even_draws_by_far() -> None:
    """The toy's front is known: the best rate and strength at every cost."""
    axes = (Axis("error", "min", 0.0, 0.5), Axis("flops", "min", 5.0, 3200.0, log=True))
    scale = Normalizer(axes)
    best = {"rate": 1e-2, "regularizer": {"l1": {"strength": 1e-3}}}
    front = [
        {"amount": float(a), "bits": b, "width": w, **best}
        for a in np.linspace(0, 0.95, 200)
        for b in (2, 4, 8, 32)
        for w in (1, 2, 3, 4)
    ]
    whole = scale.hypervolume(np.array([[toy_error(c), toy_costs(c)["flops"]] for c in front]))

    def reached(sampler: str, seed: int) -> float:
        engine = build_engine(
            toy_space(),
            OBJECTIVES,
            quality="error",
            costs=toy_costs,
            constraints=[Expression.parse("flops <= 0.5 * dense.flops", "test")],
            reference={f"dense.{n}": v for n, v in DENSE.items()},
            normalizer=scale,
            budget=Budget(trials=120),
            seed=seed,
            sampler=sampler,
            prune=False,
        )
        run(engine)
        assert max(r.costs["flops"] for r in engine.trials()) <= 0.5 * DENSE["flops"]
        return float(engine.hypervolume() or 0.0) / whole

    ours, quasi_random = (np.array([reached(name, seed) for seed in range(5)]) for name in ("evolution", "random"))
    assert (ours > quasi_random).all()
    assert ours.mean() > quasi_random.mean() + 0.1


def test_it_is_named_in_the_list_of_samplers() -> None:
    assert "switches" in make_sampler("evolution", toy_space(), 2).explain
