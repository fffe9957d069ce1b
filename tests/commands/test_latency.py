"""`autoreg latency`: a machine's table for a space, what it reuses, and what studies get of it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autoreg.costs.levels import Levels
from autoreg.costs.predict import predict
from autoreg.engine import Interval
from autoreg.errors import InputError
from autoreg.latency.table.layer_key import applied_layers
from autoreg.latency.table.model import LatencyModel
from autoreg.network.layer_geometries import layer_geometries
from autoreg.space.study_spec import StudySpec
from autoreg.study.latency_table import study_of
from autoreg.study.options import RunOptions
from autoreg.study.reachable_layers import channel_counts, reachable_keys
from autoreg.study.shipped import find_shipped
from autoreg.study.task_study import TaskStudy
from autoreg.study.timed_recipes import corners, draw
from autoreg.trial.resolve import resolve
from tests.commands.in_process import call

STUDY = """\
name: tiny
task: {tabular: {data: wine}}
space:
  sparsity: [none, {channel: {amount: 0.5, round_to: 8, criterion: magnitude, allocation: uniform, schedule: one_shot}}]
  quantization: {weights: {bits: [4, 8, 32], granularity: channel}, activations: {bits: [8, 32]}}
objectives: {error: min, latency_ms: min}
"""


def made(study: str, store: Path, **params: Any) -> TaskStudy:
    spec = StudySpec.load(find_shipped("study", study), resolve_shipped=lambda name: find_shipped("space", name))
    return TaskStudy(spec, RunOptions(Path("."), store=store, params=params))


def test_the_table_is_built_reused_and_used(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One command measures, fits and checks; a second measures nothing; a cut table is completed; `check` shows it."""
    file = tmp_path / "tiny.yaml"
    file.write_text(STUDY)
    ask = ("latency", "--study", file, "--store", tmp_path, "--recipes", 4, "--json")
    assert call(*ask) == 0
    first = json.loads(capsys.readouterr().out)
    assert first["entries"]["measured"] == first["entries"]["wanted"] > 10
    assert first["entries"]["reused"] == 0
    assert len(first["check"]["measured"]) == 4
    assert first["fitted"] >= 4
    assert [row["name"] for row in first["corners"]] == [
        *("dense fp32", "dense int8", "thinnest fp32", "thinnest int8"),
    ]
    table = Path(first["table"])
    lines = table.read_bytes().splitlines(keepends=True)
    table.write_bytes(b"".join(lines[:-2]) + lines[-2][:20])
    assert call(*ask) == 0
    again = json.loads(capsys.readouterr().out)
    noisy = first["entries"]["noisy"]
    assert 2 <= again["entries"]["measured"] <= 2 + noisy
    assert again["entries"]["measured"] + again["entries"]["reused"] == first["entries"]["wanted"]

    spec, params = study_of(None, str(file), None, {})
    setup = TaskStudy(spec, RunOptions(tmp_path, store=tmp_path, params=params)).objective.setup
    model = LatencyModel.load(setup)
    assert model is not None
    dense = model.predict(Levels())
    assert 0 < dense.low <= dense.ms <= dense.high
    assert dense.ms == pytest.approx(again["corners"][0]["predicted"])
    the_study_knows_latency_as_an_interval(file, tmp_path)
    assert call("check", file, "--store", tmp_path) == 0
    assert "latency_ms" in capsys.readouterr().out
    assert call("check", file, "--store", tmp_path / "elsewhere") == 0
    assert "latency_ms" not in capsys.readouterr().out


def the_study_knows_latency_as_an_interval(file: Path, store: Path) -> None:
    """What the table predicts reaches the engine with both ends; a log without them, as they were, goes on."""
    folder = store / "study"
    spec = StudySpec.load(file, resolve_shipped=lambda name: find_shipped("space", name))
    study = TaskStudy(replace(spec, budget=replace(spec.budget, trials=5)), RunOptions(folder, store=store))
    model = study.objective.latency_model
    assert model is not None
    recipe = study.space.sample(np.random.default_rng(0))
    predicted = model.predict(resolve(recipe, study.objective.setup, study.objective.reference))
    known = study.costs(recipe)
    assert known["latency_ms"] == Interval(predicted.low, predicted.ms, predicted.high)
    assert study.objective.costs(recipe) == {**known, "latency_ms": predicted.low}
    engine = study.run().engine
    asked = [event for event in engine.log.events if event["event"] == "ask"]
    assert len(asked) == 5
    for event, record in zip(asked, engine.trials(), strict=True):
        low, middle, high = event["intervals"]["latency_ms"]
        assert event["costs"]["latency_ms"] == low <= middle <= high
        assert record.info.latency is not None
        assert record.metrics["latency_ms"] == record.info.latency.ms, "what was measured counts"
    log = folder / "events.jsonl"
    old = [{k: v for k, v in event.items() if k != "intervals"} for event in engine.log.events]
    log.write_text("".join(json.dumps(event) + "\n" for event in old))
    more = replace(spec, budget=replace(spec.budget, trials=6))
    assert len(TaskStudy(more, RunOptions(folder, store=store, resume=True)).run().engine.trials()) == 6


@pytest.mark.parametrize("study", ["digits", "tabular", "char_lm"])
def test_the_table_has_every_layer_that_a_recipe_leaves(study: str, tmp_path: Path, text_file: Path) -> None:
    """Of 300 recipes that were not drawn for it, at every size, kind and dropped block; of ranks the kinds alone."""
    whole = made(study, tmp_path, **({"path": str(text_file)} if study == "char_lm" else {}))
    setup = whole.objective.setup

    found = layer_geometries(setup.skeleton(), setup.task.latency_input())
    drawn = list(draw(whole.space, setup, 300, 0))
    keys, thinned = reachable_keys(setup.profile, found, drawn)
    assert thinned == (study == "char_lm")
    families = {key.family for key in keys}
    for _, levels in draw(whole.space, setup, 300, 1):
        for one in applied_layers(found, predict(setup.profile, levels), levels):
            assert one.key in keys or (levels.ranks and one.key.family in families)


def test_every_number_of_channels_is_among_the_levels(tmp_path: Path) -> None:
    """Global allocation can leave any multiple of 4 of 16 and 32 channels, a narrow network other numbers too.

    The thinnest network has the fewest of each.
    """
    whole = made("digits", tmp_path)
    setup = whole.objective.setup
    drawn = list(draw(whole.space, setup, 100, 0))
    counts = channel_counts(setup.profile, drawn)
    sizes = {group.id: group.size for group in setup.profile.channel_groups}
    assert counts
    for name, values in counts.items():
        assert set(range(4, sizes[name] + 1, 4)) <= set(values) <= set(range(1, sizes[name] + 1))
        assert any(value % 4 for value in values)
    named = dict(corners(setup.profile, drawn))
    assert named["thinnest int8"].channels == {name: values[0] for name, values in counts.items()}
    assert set(named["thinnest int8"].weight_bits.values()) == {8}
    assert named["dense fp32"] == Levels()


def test_which_study_is_meant(tmp_path: Path) -> None:
    """A task's shipped study by default; a space in its place; what is missing is said."""
    spec, params = study_of("digits", None, None, {"width": "8"})
    assert (spec.task, spec.space.name, params) == ("digits", "cnn-joint", {"train_images": 400, "width": "8"})
    spec, params = study_of("digits", None, "post_training", {})
    assert (spec.task, spec.space.name, params) == ("digits", "post-training", {"train_images": 400})
    for task, study in ((None, None), ("digits", "tabular")):
        with pytest.raises(InputError, match="either --task or --study"):
            study_of(task, study, None, {})
    with pytest.raises(InputError, match="'mine:make' has no shipped study; name the space"):
        study_of("mine:make", None, None, {})
