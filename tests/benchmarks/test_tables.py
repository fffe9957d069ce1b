"""Tables, measures and arms of the engine benchmark, on a table small enough to check by hand."""

from __future__ import annotations

import json
from pathlib import Path

import moocore
import numpy as np
import pytest

from autoreg.errors import InputError
from autoreg.space import Space
from benchmarks.engines import Job, key, play
from benchmarks.runs import read
from benchmarks.tables import measures, staircase
from benchmarks.tables.arms import run, task_of
from benchmarks.tables.published import cell_size, load, parameters
from benchmarks.tables.table import Table, factorial, key_of


def small(seeds: int = 3) -> Table:
    """A conditional space of 60 recipes: wide is costly and good, and `drop` helps where it is on."""
    space = Space.from_dict(
        {
            "width": {"int": [1, 10]},
            "act": ["relu", "tanh"],
            "reg": ["none", {"drop": {"rate": {"int": [0, 1]}}}],
        }
    )
    configs = factorial(space, 60)
    width = np.array([c["width"] for c in configs], dtype=float)
    good = np.array([0.1 * (c["act"] == "relu") + (0.1 if c["reg"] == {"drop": {"rate": 1}} else 0.0) for c in configs])
    noise = np.random.default_rng(0).normal(0, 0.01, (60, seeds))
    errors = (1 / width - good)[:, None] + noise
    errors[7, -1] = np.nan
    dense = next(k for k, c in enumerate(configs) if c == {"width": 10, "act": "relu", "reg": "none"})
    return Table("small", space, configs, width * 100, errors, dense, tolerance=0.5, near=0.02, ideal=-1.0)


def test_what_an_arm_sees_never_enters_its_truth() -> None:
    table = small()
    for seed in range(4):
        for row, config in enumerate(table.configs):
            seeds = table.validation[row][np.isfinite(table.validation[row])]
            seen, truth = table.observe(config, seed), table.truth(config, seed)
            assert seen == table.seen(seed)[row]
            assert truth == pytest.approx(table.truths(seed)[row], abs=1e-14)
            assert truth * (len(seeds) - 1) + seen == pytest.approx(seeds.sum(), abs=1e-12)


def test_a_table_with_a_single_seed_is_refused() -> None:
    with pytest.raises(InputError, match="two seeds"):
        small(seeds=1)


def test_cost_is_vectorized_and_unknown_recipes_are_refused() -> None:
    table = small()
    assert table.cost(table.configs[:3]).tolist() == table.costs[:3].tolist()
    assert key_of({"a": 1, "b": {"c": 2}}) == key_of({"b": {"c": 2}, "a": 1})
    with pytest.raises(InputError, match="no recipe"):
        table.row({"width": 11})


def test_hypervolume_agrees_with_moocore_and_with_its_history() -> None:
    points = np.random.default_rng(1).random((40, 2)) * 1.2
    got = staircase.history(points[:, 0], points[:, 1], (1.0, 1.0))
    for k in (1, 7, 40):
        inside = points[:k][(points[:k] < 1).all(axis=1)]
        wanted = moocore.hypervolume(inside, ref=[1.0, 1.0]) if len(inside) else 0.0
        assert got[k - 1] == pytest.approx(wanted)
        assert staircase.hypervolume(points[:k, 0], points[:k, 1], (1.0, 1.0)) == pytest.approx(wanted)


def test_expected_improvement_agrees_with_monte_carlo() -> None:
    rng = np.random.default_rng(2)
    costs, errors = rng.random(6), rng.random(6)
    got = staircase.expected([0.05, 0.4, 1.1], [0.5, 0.3, 0.1], [0.2, 0.1, 0.1], (costs, errors), (1.0, 1.0))
    base = staircase.hypervolume(costs, errors, (1.0, 1.0))
    for k, (cost, mean, spread) in enumerate([(0.05, 0.5, 0.2), (0.4, 0.3, 0.1)]):
        draws = [
            staircase.hypervolume(np.append(costs, cost), np.append(errors, e), (1.0, 1.0)) - base
            for e in rng.normal(mean, spread, 20_000)
        ]
        assert got[k] == pytest.approx(np.mean(draws), abs=4 * np.std(draws) / np.sqrt(20_000))
    assert got[2] == 0.0


def test_holm_on_a_known_example() -> None:
    assert measures.holm({"a": 0.01, "b": 0.04, "c": 0.03}) == pytest.approx({"a": 0.03, "c": 0.06, "b": 0.06})


def test_the_tight_measure_runs_from_the_start_to_the_whole_table() -> None:
    table = small()
    judge = measures.judge(table, 1)
    rows = [*table.starts(1, 5), *(r for r in range(60) if r not in table.starts(1, 5))]
    tight = judge.found(rows, 5)
    assert tight[4] == 0.0
    assert tight[-1] == pytest.approx(1.0)
    assert (np.diff(tight) >= 0).all()
    assert judge.handed_over(rows, 5) <= 1.0
    assert judge.naive(rows)[-1] == pytest.approx(1.0)
    assert judge.cheapest(rows) == 1.0
    everything = judge.attained(rows, np.log([50.0, 100.0, 1000.0]))
    assert everything[0] == np.inf
    assert everything[2] == judge.truths.min()


def test_a_target_that_is_not_reached_takes_for_ever() -> None:
    assert measures.trials_to(np.array([0.1, 0.5, 0.9]), 0.5) == 2
    assert measures.trials_to(np.array([0.1, 0.5, 0.9]), 0.95) == np.inf


@pytest.mark.parametrize(
    "arm", ["random", "isotonic", "tpe", "tpe_repeats", "tpe_filter", "tpe_isotonic", "nsga2", "ours"]
)
def test_every_arm_has_the_same_start_and_repeats_nothing(arm: str) -> None:
    table = small()
    got = run(arm, table, seed=2, trials=16, starts=6)
    assert got.rows[:6] == table.starts(2, 6)
    assert got.rows[0] == table.dense
    assert len(set(got.rows)) == len(got.seconds) == 16
    assert run(arm, table, seed=2, trials=16, starts=6).rows == got.rows


def test_an_arm_can_try_the_whole_table() -> None:
    table = small()
    assert sorted(run("tpe", table, seed=0, trials=100).rows) == list(range(60))


def test_linas_searches_its_predictor() -> None:
    got = run("linas", small(), seed=0, trials=22)
    assert len(set(got.rows)) == 22
    assert got.drawn == 0


def test_the_corner_is_the_dense_recipe_as_the_arm_saw_it() -> None:
    table = small()
    task = task_of(table, 1, 20)
    assert task.starts[0] == table.configs[table.dense]
    assert task.corner == (np.log(1000.0), table.observe(table.configs[table.dense], 1) + 0.5)


def test_closed_forms_are_those_of_the_published_sizes() -> None:
    assert parameters(15, 16, 16) == 545  # model_size of naval_propulsion 000000000
    assert parameters(15, 512, 512) == 271361
    assert cell_size((3,) * 6, 10) == pytest.approx(1.531546)
    assert cell_size((1, 1, 0, 4, 0, 4), 10) == pytest.approx(0.073306)
    assert cell_size((4, 2, 1, 2, 1, 1), 120) == pytest.approx(0.136456)


def test_names_that_do_not_exist_are_refused() -> None:
    with pytest.raises(InputError, match="hpolib-naval"):
        load("hpolib")
    with pytest.raises(InputError, match="isotonic"):
        run("tpe2", small(), 0, 12)


def test_a_torn_line_is_passed_over_and_a_failed_run_is_no_result(tmp_path: Path) -> None:
    row = {"arm": "tpe", "table": "t", "seed": 0, "trials": 9, "state": ""}
    (tmp_path / "runs.jsonl").write_text(json.dumps(row) + "\n" + json.dumps(row)[:20], encoding="utf-8")
    assert [key(r) for r in read(tmp_path / "runs.jsonl")] == [Job("tpe", "t", 0, 9, "")]
    assert "is not known" in play(Job("tpe", "t", 0, 9, ""))["failed"]
