"""What is asked: no recipe twice, nothing outside of the constraints, given recipes first."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autoreg.engine import (
    Budget,
    Engine,
    Result,
)
from autoreg.errors import InputError
from autoreg.space import Expression, Space
from tests.engine.problems import (
    DENSE,
    build_engine,
    evaluate,
    keys,
    next_ask,
    run,
    small_space,
    toy_space,
)
from tests.engine.toy_engine import SCALE, finish, small, toy


@pytest.mark.parametrize("sampler", ["auto", "tpe", "random", "nsga2", "grid", "evolution"])
def test_a_finite_space_is_asked_once_each_and_then_it_is_over(sampler: str) -> None:
    engine = small(sampler=sampler)
    configs = []
    while (config := finish(engine)) is not None:
        configs.append(config)
    assert sorted(keys(configs)) == sorted(keys(list(small_space().enumerate(100))))
    assert "no recipe is left" in str(engine.stop_reason)


def test_configs_of_one_identity_are_one_recipe() -> None:
    """Bits alone decide here: three recipes instead of six."""
    engine = small(identity=lambda c: str(c["bits"]))
    while finish(engine) is not None:
        pass
    assert sorted(r.config["bits"] for r in engine.trials()) == [2, 4, 8]


def test_a_failed_recipe_is_not_tried_again() -> None:
    engine = small()
    while (ask := engine.ask()) is not None:
        engine.tell(ask.number, Result("FAIL", reason="no"))
    assert len(engine.trials()) == 6


@pytest.mark.parametrize("sampler", ["auto", "random", "nsga2", "evolution"])
def test_nothing_is_asked_that_breaks_a_constraint_at_known_cost(sampler: str) -> None:
    engine = toy(25, constraints=("flops <= 0.1 * dense.flops",), sampler=sampler)
    run(engine)
    assert len(engine.trials()) == 25
    assert max(r.costs["flops"] for r in engine.trials()) <= 0.1 * DENSE["flops"]


def test_constraints_of_the_space_hold_too() -> None:
    engine = toy(15, space=toy_space(("flops <= 200",)), constraints=("flops <= 400",), sampler="random")
    run(engine)
    assert max(r.costs["flops"] for r in engine.trials()) <= 200


def test_constraints_that_nothing_meets_are_an_error_at_the_first_ask() -> None:
    engine = toy(constraints=("flops <= 0.0001 * dense.flops",))
    with pytest.raises(InputError, match=r"no recipe of the space can be tried.*flops <= 0.0001 \* dense.flops"):
        engine.ask()


@pytest.mark.parametrize("how", ["starters", "warm_start"])
def test_where_only_a_given_config_is_possible_it_is_asked_and_the_study_ends(how: str) -> None:
    """One config of a continuous space meets the constraint; no draw ever hits it, and none was given is an error."""
    space = Space.from_dict({"amount": {"uniform": [0.0, 1.0]}})
    only, too_dear = {"amount": 1.0}, {"amount": 0.5}

    def engine(configs: list[dict[str, Any]], sampler: str = "auto") -> Engine:
        given: Any = [("baseline", c) for c in configs] if how == "starters" else configs
        return build_engine(
            space,
            {"error": "min", "flops": "min"},
            quality="error",
            costs=lambda config: {"flops": 1000.0 * (1 - config["amount"])},
            constraints=[Expression.parse("flops <= 0", "test")],
            budget=Budget(trials=5),
            sampler=sampler,
            **{how: given},
        )

    for sampler in ("auto", "random", "nsga2", "evolution"):
        study = engine([too_dear, only], sampler)
        while finish(study) is not None:
            pass
        asked = [r.config for r in study.trials()]
        assert asked == ([too_dear, only] if how == "starters" else [only])
        assert study.front() == [len(asked) - 1]
        assert study.stop_reason == "no recipe is left that is new and within the constraints"
    for configs in ([], [too_dear]):
        with pytest.raises(InputError, match=r"no recipe of the space can be tried.*'flops <= 0' broken"):
            engine(configs).ask()


def test_constraints_on_quality_are_judged_at_the_end() -> None:
    engine = toy(constraints=("error <= 0.3",))
    good, bad = next_ask(engine), next_ask(engine)
    engine.tell(good.number, Result("COMPLETE", {"error": 0.3, "flops": 10.0}))
    engine.tell(bad.number, Result("COMPLETE", {"error": 0.5, "flops": 5.0}))
    assert [r.feasible for r in engine.trials()] == [True, False]
    assert engine.front() == [0]
    assert engine.hypervolume() == pytest.approx(SCALE.hypervolume([[0.3, 10.0]]))


def test_a_cost_function_that_fails_names_its_failure() -> None:
    def broken(config: dict[str, Any]) -> dict[str, float]:
        raise ZeroDivisionError("no layers")

    with pytest.raises(InputError, match="the cost function failed: ZeroDivisionError: no layers"):
        toy(costs=broken).ask()
    with pytest.raises(InputError, match="flops = nan; a known cost is a finite number"):
        toy(costs=lambda c: {"flops": math.nan}).ask()


def test_starters_come_first_whatever_the_constraints_say() -> None:
    space = toy_space()
    rng = np.random.default_rng(5)
    dense, uniform, warm = (space.sample(rng) for _ in range(3))
    dense = dense | {"amount": 0.0, "bits": 32, "width": 4}
    engine = toy(
        6,
        constraints=("flops <= 0.5 * dense.flops",),
        starters=[("dense", dense), ("dense", dict(dense)), ("uniform", uniform | {"amount": 0.9})],
        warm_start=[dense, warm | {"amount": 0.95}],
    )
    run(engine)
    records = engine.trials()
    assert [r.source for r in records[:3]] == ["dense", "uniform", "warm"]
    assert records[0].feasible is False
    assert records[0].number not in engine.front()
    assert len(set(keys([r.config for r in records]))) == 6


def test_a_baseline_from_outside_of_the_space_is_no_trouble(tmp_path: Path) -> None:
    """A dense recipe may use values that the space does not search."""
    stranger = {"something": "else", "bits": 32, "width": 1, "amount": 0.0, "rate": 0.01, "regularizer": "none"}
    for sampler in ("auto", "nsga2"):
        engine = toy(32, starters=[("dense", stranger)], sampler=sampler)
        assert len(run(engine)) == 32


def test_a_rule_of_the_space_is_not_asked_of_a_baseline_that_has_none_of_its_options() -> None:
    tree: dict[str, Any] = {"kind": [{"a": {"x": {"uniform": [0, 1]}}}, {"b": {"y": {"uniform": [0, 1]}}}]}
    space = Space.from_dict({**tree, "forbidden": ["kind == 'a' and kind.a.x > 0.5"]})
    engine = small(4, space=space, starters=[("dense", {"kind": "none"})], sampler="random")
    configs = []
    while (config := finish(engine)) is not None:
        configs.append(config)
    assert configs[0] == {"kind": "none"}
    assert len(configs) == 4
    assert all(config in space for config in configs[1:])


def test_parallel_workers_get_different_recipes() -> None:
    engine = toy(24)
    asks = [engine.ask() for _ in range(8)]
    while any(asks):
        for k, ask in enumerate(asks):
            if ask is not None:
                engine.tell(ask.number, evaluate(engine, ask.number, ask.config, False))
                asks[k] = engine.ask()
    records = engine.trials()
    assert len(set(keys([r.config for r in records]))) == 24
    assert all(r.state == "COMPLETE" for r in records)
