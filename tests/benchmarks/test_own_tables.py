"""Tables by real training: equal to the package's own trials, resumed without loss, and read back as tables."""

from __future__ import annotations

import fcntl
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autoreg.errors import InputError
from autoreg.tasks.digits import DigitsTask
from autoreg.trial.objective import TaskObjective
from autoreg.trial.setup import TrialOptions
from autoreg.trial.task_ref import TaskRef
from autoreg.trial_info import TrialInfo
from benchmarks.tables.build import Column, build, build_column, part, read_part
from benchmarks.tables.grids import GRIDS, QUANTIZATION, UNCOMPRESSED, Grid
from benchmarks.tables.own import load, read

PARAMS = {"train_images": 40, "width": 4}
TRAINING = {"epochs": 6, "finetune_epochs": 1, "qat_epochs": 1, "lr": 0.1}
CHANNEL = {"criterion": "taylor", "allocation": "global", "amount": 0.4, "schedule": "one_shot", "round_to": 1}
WEIGHT = {"criterion": "wanda", "allocation": "lamp", "amount": 0.7, "schedule": "gradual"}
FOUR_BITS = {"quantizer": "lsq", "weights": {"bits": 4}, "activations": {"bits": 8}}
SMALL = Grid(
    name="small",
    task="digits",
    params=PARAMS,
    data=(),
    space={
        "regularizer": ["none", {"sam": {"rho": 0.05}}],
        "training": TRAINING | {"finetune_epochs": [0, 1], "start": "scratch"},
        "sparsity": ["none", {"weight": WEIGHT}],
        "layers": {"drop": "none"},
        "quantization": UNCOMPRESSED["quantization"],
        "forbidden": ["sparsity == 'none' and training.finetune_epochs != 0"],
    },
    dense={"regularizer": "none", "training": TRAINING | {"finetune_epochs": 0, "start": "scratch"}, **UNCOMPRESSED},
    seeds=(0, 1),
)


class Trial:
    """Takes reports and never stops."""

    def __init__(self, seed: int) -> None:
        self.seed, self.info, self.reports = seed, TrialInfo(), dict[int, float]()

    def report(self, step: int, metrics: Any) -> None:
        self.reports[step] = metrics["error"]

    def should_stop(self) -> bool:
        return False


@pytest.mark.parametrize("name", ["own-digits", "own-speech", "own-adult"])
def test_the_prefix_of_a_recipe_shares_all_its_training(name: str) -> None:
    table = load(name)
    assert table.prefixes is not None
    assert table.phases is not None
    for row, prefix in enumerate(table.prefixes):
        assert table.phases[prefix][0][0] == table.phases[row][0][0]
        before = [p[:2] for p in table.phases[prefix] if p[1] > 0]
        assert before == [p[:2] for p in table.phases[row] if p[1] > 0][: len(before)]
        assert table.costs[prefix] >= table.costs[row]
    assert table.prefix(table.configs[table.dense]) is None


@pytest.fixture
def column(tmp_path: Path) -> Column:
    return Column(SMALL, {}, 1, str(tmp_path / "scratch"))


def test_results_are_those_of_the_packages_own_trials(tmp_path: Path, column: Column) -> None:
    objective = TaskObjective(
        TaskRef("digits", PARAMS), TrialOptions(str(tmp_path / "store"), device="cpu"), latency=False, rungs=True
    )
    own = {"training": TRAINING}
    recipes: list[dict[str, Any]] = [
        own | {"training": TRAINING | {"finetune_epochs": 0}},
        own | {"sparsity": {"weight": WEIGHT}, "quantization": FOUR_BITS},
        own | {"sparsity": {"weight": WEIGHT}, "quantization": FOUR_BITS | {"quantizer": "rtn"}},
        own | {"sparsity": {"channel": CHANNEL}, "layers": {"drop": {"last": {"count": 1}}}},
        own | {"sparsity": {"channel": CHANNEL}, "quantization": FOUR_BITS, "regularizer": {"sam": {"rho": 0.05}}},
        {"training": TRAINING | {"start": "pretrained"}, "quantization": FOUR_BITS | {"weights": {"bits": 8}}},
    ]
    for recipe in [*recipes, *recipes[:2]]:
        config = column.setup.complete(recipe)
        trial = Trial(seed=1)
        metrics = objective.evaluate(config, trial, test=True)
        found = column.chain(config).found()
        assert found.validation == metrics["error"]
        assert found.test == trial.info.test_metrics["test"]["error"]
        assert len(found.curve) == 7
        assert found.curve[-1] == found.validation
        assert sorted(trial.reports) == [2, 6]
        assert {epoch: found.curve[epoch - 1] for epoch in trial.reports} == trial.reports
        assert sum(epochs for _, epochs, _ in found.phases) == trial.info.epochs_requested
        assert min(seconds for _, _, seconds in found.phases) > 0
        assert not found.diverged


def test_a_kill_loses_one_recipe_and_the_rest_is_kept(tmp_path: Path) -> None:
    job: tuple[Grid, dict[str, str], int, Path] = (SMALL, {}, 0, tmp_path)
    build_column(job)
    path = part(tmp_path, SMALL, 0)
    whole = read_part(path, SMALL)
    lines = path.read_text().splitlines()
    assert len(whole) == len(SMALL.configs()) == len(lines) == 6
    path.write_text("\n".join([*lines[:3], lines[3][:40]]))
    build_column(job)
    again = read_part(path, SMALL)
    for row, found in whole.items():
        assert {**found, "phases": 0, "rung_seconds": 0} == {**again[row], "phases": 0, "rung_seconds": 0}
        assert [p[:2] for p in found["phases"]] == [p[:2] for p in again[row]["phases"]]
    assert sum(line in path.read_text().splitlines() for line in lines) == 3
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(InputError, match="another process"):
            build_column(job)
    with pytest.raises(InputError, match="another state"):
        read_part(path, replace(SMALL, seeds=(5,)))


def test_grids_hold_their_dense_recipe_and_are_large_enough() -> None:
    for name, least in (("digits", 2000), ("speech", 1000), ("adult", 1000)):
        configs = GRIDS[name].configs()
        assert len(configs) >= least
        assert GRIDS[name].dense in configs
        assert len({json.dumps(config, sort_keys=True) for config in configs}) == len(configs)


def test_recipes_that_do_the_same_are_refused(tmp_path: Path) -> None:
    space = {**SMALL.space, "quantization": QUANTIZATION, "sparsity": "none", "forbidden": []}
    column = Column(replace(SMALL, space=space), {}, 0, str(tmp_path))
    with pytest.raises(InputError, match="do the same"):
        column.costs()


def test_table_read_back_says_what_the_columns_say(tmp_path: Path) -> None:
    path = build(SMALL, {}, tmp_path / "out", tmp_path)
    table = read(path, "small", "bytes")
    parts = [read_part(part(tmp_path / "out", SMALL, number), SMALL) for number in (0, 1)]
    configs = SMALL.configs()
    assert list(table.configs) == configs
    assert configs[table.dense] == SMALL.dense
    assert table.curves is not None
    assert table.curve_epochs is not None
    assert table.phases is not None
    for row, config in enumerate(configs):
        assert table.observe(config, 1) == parts[1][row]["validation"]
        assert table.truth(config, 1) == parts[0][row]["test"]
        np.testing.assert_allclose(table.curves[row, 0], parts[0][row]["curve"], rtol=1e-6)
        passes = 1 if config["regularizer"] == "none" else 2
        tuned = passes * config["training"]["finetune_epochs"]
        assert table.curve_epochs[row].tolist() == [passes * k for k in range(1, 7)] + [passes * 6 + tuned]
        assert [key for key, _, _ in table.phases[row]] == [key for key, _, _ in parts[0][row]["phases"]]
        both = [[took for _, _, took in found[row]["phases"]] for found in parts]
        np.testing.assert_allclose([took for _, _, took in table.phases[row]], np.mean(both, axis=0), rtol=1e-6)
    assert len({phases[0][0] for phases in table.phases}) == 2
    assert table.costs[table.dense] == table.costs.max() == 4 * _floats()
    assert table.tolerance == pytest.approx((0.9 - table.validation[table.dense].mean()) / 8)
    assert build(SMALL, {}, tmp_path / "out", tmp_path).read_bytes() == path.read_bytes()


def _floats() -> int:
    """Weights, biases and running statistics."""
    state = DigitsTask(**PARAMS).build_model().state_dict()
    return sum(value.numel() for value in state.values() if value.is_floating_point())


def test_only_built_tables_are_loaded() -> None:
    with pytest.raises(InputError, match="not known"):
        load("own-nothing")
    with pytest.raises(InputError, match="as NAME=PATH"):
        build(GRIDS["adult"], {}, Path(), Path())
