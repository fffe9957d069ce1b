"""Live tables: spaces that cannot be enumerated, searched by the arms as they are, and judged after the run."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autoreg.engine.samplers.mutation import mutate
from autoreg.errors import InputError
from autoreg.space import Space
from benchmarks.engines import jobs_of
from benchmarks.tables import live_front, live_space, live_surrogate, live_trials
from benchmarks.tables.arms import run
from benchmarks.tables.live import Live
from benchmarks.tables.measures import judge
from benchmarks.tables.staircase import hypervolume
from benchmarks.tables.table import Floats, key_of

LINE = Space.from_dict(
    {"width": {"log": [1.0, 100.0]}, "kind": ["plain", {"fine": {"rate": {"uniform": [0.0, 1.0]}}}]}, name="line"
)
LARGE = {"width": 100.0, "kind": "plain"}


class Closed:
    """Error 1 / sqrt(width), a tenth less at rate 0.3, seen with an error that only the seed knows; cost the width."""

    tolerance = 0.2

    def __init__(self, front: bool) -> None:
        self.front = front
        self.asked: list[Any] = []

    def cost(self, config: Mapping[str, Any]) -> float:
        return float(config["width"])

    def phase_costs(self, config: Mapping[str, Any]) -> list[tuple[str, float, float]]:
        return [(f"train {config['width']}", 4.0, 8.0), (repr(key_of(config)), 1.0, 1.0)]

    def run(self, config: Mapping[str, Any], seed: int) -> tuple[float, float]:
        self.asked.append((key_of(config), seed))
        rate = 1.0 if config["kind"] == "plain" else config["kind"]["fine"]["rate"]
        error = config["width"] ** -0.5 * (0.9 + abs(rate - 0.3))
        return error + 0.001 * seed, error

    def whole(self) -> tuple[Floats, Floats]:
        widths = np.geomspace(1, 100, 400) if self.front else np.zeros(0)
        return widths, 0.9 * widths**-0.5 if self.front else np.zeros(0)


def line(front: bool = True) -> Live:
    return Live("line", LINE, LARGE, 1.0, Closed(front), random_draws=50)


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
@pytest.mark.parametrize("arm", ["random", "tpe", "tpe_multivariate", "tpe_filter", "nsga2", "ours", "ours_learned"])
def test_an_arm_does_the_same_whatever_others_tried_before(arm: str) -> None:
    fresh, used = line(), line()
    run("random", used, 3, 25)
    first, second = run(arm, fresh, 1, 16), run(arm, used, 1, 16)
    assert [fresh.configs[row] for row in first.rows] == [used.configs[row] for row in second.rows]
    assert len({key_of(fresh.configs[row]) for row in first.rows}) == 16
    assert first.rows[0] == fresh.dense
    assert sum(first.epochs) <= 16 * 5.0


def test_each_recipe_is_run_once_for_a_seed() -> None:
    table = line()
    for arm in ("random", "tpe"):
        run(arm, table, 0, 15)
    asked = table.objective.asked  # type: ignore[attr-defined]
    assert len(asked) == len(set(asked)) == 20  # the ten starts are shared


def test_the_tight_measure_is_one_for_the_front_and_none_at_the_start() -> None:
    table = line()
    got = run("random", table, 2, 30)
    shares = judge(table, 2).found(got.rows, 10)
    assert shares[9] == 0.0
    assert 0 <= shares[-1] < 1
    best = [{"width": float(w), "kind": {"fine": {"rate": 0.3}}} for w in np.geomspace(1, 100, 400)]
    rows = [*got.rows, *(table.row(config) for config in best)]
    for config in best:
        table.observe(config, 2)
    assert judge(table, 2).found(rows, 10)[-1] == pytest.approx(1.0, abs=1e-9)
    assert judge(table, 2).cheapest(rows) == pytest.approx(1.0)


def test_without_a_known_front_the_whole_is_what_was_tried_with_that_seed() -> None:
    table = line(front=False)
    a, b = run("random", table, 0, 20), run("tpe", table, 0, 20)
    run("tpe", table, 1, 20)
    rows = np.unique([*a.rows, *b.rows])
    truths = [table.truth(table.configs[row], 0) for row in rows]
    found = judge(table, 0)
    assert found.tight_full == hypervolume(np.log(table.costs[rows]), truths, found.tight_corner)


@pytest.mark.parametrize("front", [True, False])
def test_a_recorded_run_is_judged_alike_by_another_process(front: bool) -> None:
    table, other = line(front), line(front)
    run("random", other, 0, 12)  # rows of others stand before
    got = run("ours", table, 1, 16)
    row = {"seed": 1, "rows": got.rows, "chosen": got.chosen, **table.recorded(got.rows, 1)}
    back = other.restored(json.loads(json.dumps(row)))
    here, there = judge(table, 1), judge(other, 1)
    np.testing.assert_allclose(there.found(back["rows"], 10), here.found(got.rows, 10), atol=1e-4)
    handed_over = here.handed_over(got.rows, 10, chosen=got.chosen)
    assert there.handed_over(back["rows"], 10, chosen=back["chosen"]) == pytest.approx(handed_over, abs=1e-4)


def test_arms_that_need_all_rows_are_refused_and_left_out() -> None:
    with pytest.raises(InputError, match="'isotonic' chooses among all recipes"):
        run("isotonic", line(), 0, 12)
    given = argparse.Namespace(
        tables="live-surrogate", arms="quick,stopping", seeds=1, trials=20, cache="on", epochs=0.0
    )
    arms = {job.arm for job in jobs_of(given, "x")}
    assert arms == {"random", "tpe", "tpe_multivariate", "tpe_filter", "nsga2", "ours", "ours_learned"}


def test_a_recipe_outside_of_the_space_has_no_row() -> None:
    with pytest.raises(InputError, match="no recipe of the space"):
        line().row({"width": 1000.0, "kind": "plain"})


# -- the space and its trials ---------------------------------------------------------------------


def test_the_space_is_conditional_continuous_and_holds_the_dense_recipe() -> None:
    where = live_space.space()
    assert 20 <= len(where.parameters) <= 38
    assert live_space.DENSE in where
    assert where.size().continuous >= 15
    assert sum(bool(p.condition) for p in where.parameters) >= 15


def test_recipes_share_the_phases_that_they_have_in_common() -> None:
    digits, dense = live_space.Digits(), live_space.DENSE
    bits = {"quantizer": "lsq", "weights": {"bits": {"per_layer": {"blocks.*": 4, "*": 8}}}, "activations": {"bits": 8}}
    first, second = digits.phases(dense), digits.phases({**dense, "quantization": bits})
    assert [name for name, _, _ in second] == ["train", "quantize", "measure"]
    assert first[0] == second[0]
    assert digits.costs({**dense, "quantization": bits})["bops"] < digits.costs(dense)["bops"] / 16


def test_a_gathering_goes_on_where_it_was_ended(tmp_path: Path) -> None:
    digits = live_space.Digits()
    whole = live_trials.gather(tmp_path / "whole", 2, digits)
    live_trials.gather(tmp_path / "parts", 1, digits)
    with (tmp_path / "parts" / "live.jsonl").open("a") as file:
        file.write('{"row": 1, "cut off')
    parts = live_trials.gather(tmp_path / "parts", 2, digits)
    for row in (*whole, *parts):
        del row["seconds"], row["phases"]
    assert parts == whole
    (tmp_path / "parts" / "live.jsonl").write_text(json.dumps({**whole[0], "digest": "0"}) + "\n")
    with pytest.raises(InputError, match="another state of the live space"):
        live_trials.gather(tmp_path / "parts", 2)


def test_later_rows_are_even_near_the_front_or_run_again() -> None:
    where = live_space.space()
    before: list[dict[str, Any]] = []
    for row in range(live_trials.FIRST):
        config = live_trials.config_of(row, before, where)[0]
        costs = dict.fromkeys(live_trials.COSTS, float(row + 1))
        before.append({"row": row, "config": config, "seed": 0, "costs": costs, "validation": 0.1 + (row != 7) * 0.5})
    near, seed = live_trials.config_of(194, before, where)
    flats = [where.flatten(before[row]["config"]) for row in (0, 7)]  # the cheapest and the best
    handed_over = [sum(where.flatten(near).get(path) == value for path, value in flat.items()) for flat in flats]
    assert seed == 0
    assert any(len(flat) - same >= 1 and same >= len(flat) / 2 for same, flat in zip(handed_over, flats, strict=True))
    again, seed = live_trials.config_of(198, before, where)
    assert seed == 1
    assert again in [row["config"] for row in before]


# -- the surrogate ---------------------------------------------------------------------------------


def test_a_front_that_is_not_there_names_the_command_that_makes_it(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"make it with python -m {live_front.__name__}$"):
        live_front.read_front(tmp_path / "none.json")


@pytest.fixture(scope="module")
def surrogate() -> live_surrogate.Surrogate:
    return live_surrogate.Surrogate(live_surrogate.read(), live_front.read_front())


def test_a_seed_shows_the_same_every_time_and_its_luck_has_the_size_and_share_it_should(
    surrogate: live_surrogate.Surrogate,
) -> None:
    dense = live_space.DENSE
    bits = {"quantizer": "rtn", "weights": {"bits": {"per_layer": {"blocks.*": 8, "*": 8}}}, "activations": {"bits": 8}}
    other = {**dense, "quantization": bits}
    assert surrogate.run(dense, 5) == surrogate.run(dense, 5)
    pair = (dense, other)
    deviations = np.array([[_deviation(*surrogate.run(config, seed)) for config in pair] for seed in range(300)])
    assert deviations.std(axis=0) == pytest.approx([surrogate.spread] * 2, rel=0.12)
    assert np.corrcoef(deviations.T)[0, 1] == pytest.approx(live_surrogate.SHARED, abs=0.12)


def _deviation(seen: float, truth: float) -> float:
    first, second = live_surrogate.logit(np.array([seen, truth]))
    return float(first - second)


def test_no_even_draw_and_no_variation_of_the_front_adds_much_to_the_front(
    surrogate: live_surrogate.Surrogate,
) -> None:
    costs, errors = surrogate.whole()
    corner = float(np.log(costs[0])), float(errors[0]) + surrogate.tolerance
    rng, where = np.random.default_rng(5), live_space.space()
    flats = [where.flatten(config) for config in surrogate.front]
    more = [where.sample(rng) for _ in range(200)]
    more += [mutate(where, flats[int(rng.integers(len(flats)))], rng, 2) for _ in range(200)]
    full = hypervolume(np.log(costs), errors, corner)
    both = np.append(costs, [surrogate.cost(config) for config in more]), np.append(errors, surrogate.truths(more))
    assert full > 0
    assert hypervolume(np.log(both[0]), both[1], corner) < 1.01 * full


def test_the_seconds_of_a_kind_of_phase_are_those_of_the_trials_on_average() -> None:
    phases = [[("train", 10.0, 2.0), ("measure", 0.0, 0.5)], [("train", 20.0, 4.0)], [("train", 10.0, 0.0)]]
    empty = np.zeros(3)
    trials = live_surrogate.Trials([{}] * 3, empty, empty, empty, {}, phases)
    assert live_surrogate.rates(trials) == {"train": (pytest.approx(0.2), 0.0), "measure": (0.0, 0.5)}
