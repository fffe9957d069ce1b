"""Proposals: inside their domains, the same for the same seed, and guided by what was seen."""

from __future__ import annotations

import copy
import itertools
import math
from collections import Counter
from typing import Any

import numpy as np
import optuna
import pytest

from autoreg.engine import Budget, Engine, EventLog, Result
from autoreg.engine.samplers import tpe
from autoreg.engine.samplers.base import SAMPLERS, make_sampler
from autoreg.engine.samplers.history import Domain, Observation
from autoreg.engine.samplers.mutation import crossover, crowding_distance, mutate, quasi_random, uniform
from autoreg.engine.samplers.tpe import TPESampler, contains, distribution, on_grid
from autoreg.errors import InputError
from autoreg.space import Space, digest
from autoreg.space.nodes import Range
from tests.engine.problems import build_engine, keys, number, proposed, small_space, toy_costs, toy_error, toy_space

DOMAINS: list[Domain] = [
    Range("uniform", 0.0, 0.95),
    Range("uniform", 0.1, 0.75, 0.1),
    Range("log", 1e-5, 1e-1),
    Range("int", 1, 7),
    Range("int", 1, 8, 3),
    Range("log_int", 1, 1000),
    ("2", "4", "none"),
]


def history(space: Any, count: int, seed: int = 0) -> list[Observation]:
    rng = np.random.default_rng(seed)
    seen = []
    for k in range(count):
        config = space.sample(rng)
        values = (toy_error(config), math.log10(toy_costs(config)["flops"] + 1))
        seen.append(Observation(k, "COMPLETE", space.flatten(config), values))
    return seen


@pytest.mark.parametrize("domain", DOMAINS, ids=str)
def test_uniform_draws_stay_inside_and_reach_both_ends(domain: Any) -> None:
    rng = np.random.default_rng(0)
    drawn = [uniform(domain, rng) for _ in range(3000)]
    assert all(contains(v, domain) for v in drawn)
    if not isinstance(domain, Range):
        counts = [drawn.count(label) for label in domain]
        assert min(counts) > 900
        return
    assert all(isinstance(v, int) for v in drawn) == domain.is_int
    middle = math.sqrt(domain.low * domain.high) if domain.is_log else (domain.low + domain.high) / 2
    assert 0.4 < np.mean(np.array(drawn) <= middle) < 0.7
    if domain.step is not None:
        assert sorted({round(number(v), 9) for v in drawn}) == pytest.approx(
            np.arange(domain.low, domain.high + 1e-9, domain.step).tolist()
        )


@pytest.mark.parametrize("domain", DOMAINS, ids=str)
def test_domains_in_optunas_words_draw_what_the_space_allows(domain: Any) -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(60):
        trial = study.ask({"x": distribution(domain)})
        assert contains(on_grid(trial.params["x"], domain), domain)


def test_what_lies_outside_is_not_contained() -> None:
    assert not contains(0.96, DOMAINS[0])
    assert not contains(0.15, DOMAINS[1])
    assert contains(0.3, DOMAINS[1])
    assert not contains("8", ("2", "4"))
    assert not contains("2", DOMAINS[0])


@pytest.mark.parametrize("name", ["auto", "tpe", "nsga2", "random", "evolution"])
def test_proposals_follow_from_trials_and_seed_alone(name: str) -> None:
    space = toy_space()
    seen = history(space, 40)
    first, second = make_sampler(name, space, 2), make_sampler(name, space, 2)
    second.propose(seen[:15], (5, 5))  # a sampler remembers nothing that changes what it says
    drawn = [digest(proposed(first, seen, (0, k))) for k in range(8)]
    assert drawn == [digest(proposed(second, list(seen), (0, k))) for k in range(8)]
    assert len(set(drawn)) == 8


COCKTAIL = {"x": {"any_of": ["a", {"b": {"rate": {"uniform": [0, 1]}}}, "c", "d"], "at_most": 2}}


@pytest.mark.parametrize("name", ["auto", "tpe", "nsga2", "random", "evolution"])
def test_no_proposal_holds_more_methods_than_are_allowed(name: str) -> None:
    space, rng = Space.from_dict(COCKTAIL), np.random.default_rng(0)
    seen = [Observation(k, "COMPLETE", space.flatten(space.sample(rng)), (rng.random(), k)) for k in range(40)]
    sampler = make_sampler(name, space, 2)
    drawn = [proposed(sampler, seen if k % 2 else [], (0, k)) for k in range(120)]
    assert all(config in space for config in drawn)
    assert all(space.unflatten(space.flatten(config)) == config for config in drawn)
    assert {method for config in drawn if config["x"] != "none" for method in config["x"]} == set("abcd")


def test_quasi_random_mutated_and_crossed_configs_keep_the_limit() -> None:
    """And no method is favoured by where it stands."""
    space, rng = Space.from_dict(COCKTAIL), np.random.default_rng(0)
    found = quasi_random(space, 256, rng)
    counts = Counter(method for config in found if config["x"] != "none" for method in config["x"])
    assert max(counts.values()) < 1.3 * min(counts.values())
    flats = [space.flatten(config) for config in found]
    found += [mutate(space, flat, rng, 2) for flat in flats]
    found += [crossover(space, one, other, rng) for one, other in itertools.pairwise(flats)]
    assert all(config in space for config in found)


def test_a_grid_is_walked_in_order_and_ends() -> None:
    space = small_space()
    grid = make_sampler("grid", space, 1)
    walked = []
    while (config := grid.propose((), (0,))) is not None:
        walked.append(digest(config))
    assert walked == [digest(c) for c in space.enumerate(100)]


def test_every_sampler_says_what_it_does() -> None:
    for name in SAMPLERS:
        assert len(make_sampler(name, small_space(), 1).explain) > 30
    with pytest.raises(InputError, match="allowed: auto, tpe, nsga2, random, grid, evolution"):
        make_sampler("cma", small_space(), 1)


def test_tpe_draws_where_good_trials_are() -> None:
    """Good trials all have rate near 0.01; its draws gather there, even draws do not."""
    space = toy_space()
    seen = history(space, 120)
    best = sorted(seen, key=lambda s: abs(math.log10(number(s.flat["rate"])) + 2))
    place = {s.number: k / 120 for k, s in enumerate(best)}
    seen = [Observation(s.number, s.state, s.flat, (place[s.number],)) for s in seen]

    def spread(name: str) -> float:
        sampler = make_sampler(name, space, 1)
        return float(np.median([abs(math.log10(proposed(sampler, seen, (0, k))["rate"]) + 2) for k in range(30)]))

    assert spread("tpe") < 0.5 * spread("random")


@pytest.mark.parametrize("objectives", [1, 2])
def test_tpe_draws_exactly_as_optunas_sampler(objectives: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trials are divided and their densities estimated once for all draws: Optuna, which does so anew, draws alike."""
    space, rng = toy_space(), np.random.default_rng(0)
    states: list[Any] = ["COMPLETE"] * 6 + ["PRUNED", "RUNNING"]
    seen = [
        Observation(s.number, state, s.flat, tuple(rng.random(objectives)) if state == "COMPLETE" else None, broken)
        for s, state, broken in zip(
            history(space, 40), itertools.cycle(states), itertools.cycle([0.0] * 4 + [0.3]), strict=False
        )
    ]

    def drawn() -> list[Any]:
        sampler = TPESampler(space, objectives)
        return [proposed(sampler, part, (0, k)) for part in (seen[:30], seen) for k in range(20)]

    ours = drawn()
    plain: Any = lambda seed, startup, learned: optuna.samplers.TPESampler(  # noqa: E731
        seed=seed, multivariate=False, n_startup_trials=startup
    )
    monkeypatch.setattr(tpe, "_sampler_class", lambda: plain)
    assert drawn() == ours


def test_tpe_takes_stopped_trials_as_bad() -> None:
    """Everything with a small amount was stopped: draws keep away from there."""
    space = toy_space()
    seen = [
        Observation(s.number, "PRUNED", s.flat)
        if number(s.flat["amount"]) < 0.5
        else Observation(s.number, "COMPLETE", s.flat, (0.5, 0.5))
        for s in history(space, 100)
    ]
    drawn = [proposed(TPESampler(space, 2), seen, (0, k))["amount"] for k in range(40)]
    assert np.mean(np.array(drawn) < 0.5) < 0.25


def test_tpe_keeps_away_from_what_breaks_a_constraint() -> None:
    """The best objectives are all infeasible: they come last all the same."""
    space = toy_space()
    seen = [
        Observation(
            s.number,
            "COMPLETE",
            s.flat,
            (number(s.flat["amount"]), 0.5),
            violation=float(number(s.flat["amount"]) < 0.5),
        )
        for s in history(space, 100)
    ]
    drawn = [proposed(TPESampler(space, 2), seen, (0, k))["amount"] for k in range(40)]
    assert np.mean(np.array(drawn) < 0.5) < 0.2


def test_nsga2_breeds_the_best_of_a_full_generation() -> None:
    """In a space of labels every child takes its labels from parents, but for mutations."""
    space = toy_space()
    seen = [
        Observation(s.number, "COMPLETE", {**s.flat, "bits": "2"}, (float(k >= 20), 0.0))
        for k, s in enumerate(history(space, 45))
    ]
    seen += [Observation(99, "COMPLETE", {**seen[0].flat, "bits": "32"}, (5.0, 5.0))]
    drawn = [proposed(make_sampler("nsga2", space, 2), seen, (0, k))["bits"] for k in range(40)]
    assert drawn.count(2) > 25


def test_crowding_by_hand() -> None:
    values = np.array([[0.0, 4.0], [1.0, 2.0], [2.0, 1.0], [4.0, 0.0]])
    assert crowding_distance(values).tolist() == [math.inf, 2 / 4 + 3 / 4, 3 / 4 + 2 / 4, math.inf]


def test_variants_switch_at_most_as_many_parameters_as_asked() -> None:
    space = toy_space()
    rng = np.random.default_rng(0)
    base = space.flatten(space.sample(rng) | {"regularizer": "none"})
    for _ in range(50):
        child = space.flatten(mutate(space, base, rng, 2))
        changed = {p for p in base if child.get(p) != base[p]}
        assert len(changed) <= 2
        opened = child.keys() - base.keys()
        assert opened <= {"regularizer.l1.strength"}
        assert bool(opened) == ("regularizer" in changed)


def test_children_take_every_parameter_from_a_parent() -> None:
    space = toy_space()
    rng = np.random.default_rng(0)
    mother, father = (space.flatten(space.sample(rng)) for _ in range(2))
    for _ in range(30):
        child = space.flatten(crossover(space, mother, father, rng))
        assert all(v in (mother.get(p), father.get(p)) for p, v in child.items())


def test_a_grid_that_is_screened_too_loses_no_recipe_and_resumes_where_it_was() -> None:
    """The walk goes on from where it is; what screening only looked at would never be asked."""
    space = Space.from_dict({"x": {"int": [0, 29]}, "y": ["a", "b"]})

    def engine(log: EventLog) -> Engine:
        return build_engine(
            space,
            {"error": "min", "cost": "min"},
            costs=lambda c: {"cost": 1.0 + c["x"]},
            sampler="grid",
            screen=True,
            log=log,
            budget=Budget(trials=60),
        )

    def go_on(log: EventLog) -> list[str]:
        made = engine(log)
        while (ask := made.ask()) is not None:
            error = abs(ask.config["x"] - 11) / 30 + 0.1 * (ask.config["y"] == "a")
            made.tell(ask.number, Result("COMPLETE", {"error": error}))
        return keys([r.config for r in made.trials()])

    whole = EventLog()
    expected = go_on(whole)
    assert len(set(expected)) == 60, "every recipe once"
    for completed in (11, 25, 40):
        cut = EventLog()
        ended = [k for k, e in enumerate(whole.events) if e["event"] == "tell"][completed]
        cut.events.extend(copy.deepcopy(whole.events[: ended + 1]))
        assert go_on(cut) == expected
