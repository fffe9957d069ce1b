"""Every shipped study runs at toy size, from its file to the final front."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autoreg.errors import InputError
from autoreg.report.data.final_results import FinalResults
from autoreg.report.data.front import front_rows
from autoreg.report.data.load import StudyData
from autoreg.report.write import write_report
from autoreg.space import Space
from autoreg.space.study_spec import StudySpec
from autoreg.study.final_evaluation import finish
from autoreg.study.options import RunOptions
from autoreg.study.shipped import find_shipped, shipped
from autoreg.study.task_study import TaskStudy
from tests.recipes import is_compressed

EPOCHS = (
    "  epochs: 10\n  finetune_epochs: 4\n  qat_epochs: 2\n",
    "  epochs: 1\n  finetune_epochs: 1\n  qat_epochs: 1\n",
)


def toy(name: str) -> StudySpec:
    """A shipped study with one epoch where its space says ten."""
    spec = StudySpec.load(find_shipped("study", name), resolve_shipped=lambda space: find_shipped("space", space))
    space = spec.space.to_dict()
    if name != "digits_post":
        space["training"] = {**space["training"], "epochs": 2, "finetune_epochs": 1, "qat_epochs": 1}
    changed = replace(spec, space=Space.from_dict(space), workers=1, final_seeds=1, baselines="none")
    return changed.override(budget={"trials": 6})


@pytest.mark.parametrize("name", ["digits", "digits_post", "tabular", "speech", "char_lm"])
def test_a_shipped_study_runs_to_its_final_front(
    name: str, tmp_path: Path, store: Path, speech_file: Path, text_file: Path
) -> None:
    params: dict[str, dict[str, Any]] = {
        "speech": {"path": str(speech_file), "folds": 2},
        "char_lm": {"path": str(text_file), "steps": 4, "eval_chars": 400, "context": 16},
        "digits": {"train_images": 100},
        "digits_post": {"train_images": 100},
    }
    spec = toy(name)
    study = TaskStudy(spec, RunOptions(tmp_path / name, store=store, params=params.get(name, {})))
    searched = study.run()
    states = [record.state for record in searched.engine.trials()]
    reasons = [record.reason for record in searched.engine.trials() if record.state == "FAIL"]
    assert len(states) == 6
    assert "COMPLETE" in states
    assert not reasons
    for record in searched.engine.trials():
        if record.state == "COMPLETE":
            assert {*spec.objectives, "flops", "effective_flops", "bops", "bytes"} <= set(record.metrics)
            assert ("latency_ms" in record.metrics) is ("latency_ms" in spec.objectives), "timed where it is asked for"
            assert record.info.notes == []  # every cost was predicted to the integer
    if not searched.engine.front():
        return  # nothing feasible in six toy trials: there is no front to re-measure
    final = finish(study, searched)
    final_front = [member for member in final.members if member.on_final_front]
    assert final_front
    sets = {"speech": 2}.get(name, 1)
    assert all(len(member.test_sets) == sets for member in final_front)
    assert write_report(tmp_path / name).exists()
    written = json.loads((tmp_path / name / "final.json").read_text())
    assert all("test" not in member for member in written["members"] if not member["on_final_front"])
    assert written["test_uses"][0]["trials"] == 6
    assert FinalResults.from_json(written) == final
    assert [row.name for row in front_rows(StudyData.load(tmp_path / name))] == list(searched.front["name"])


def test_every_shipped_space_binds_to_the_methods() -> None:
    from autoreg.methods import registry

    assert len(shipped("space")) == 5
    for name, file in shipped("space").items():
        space = Space.load(file).bind(registry())
        assert len(space.parameters) > 5, name


def test_every_shipped_file_is_valid_against_the_published_schema() -> None:
    import jsonschema
    from ruamel.yaml import YAML

    from autoreg.methods import registry
    from autoreg.space import schema

    validator = jsonschema.Draft202012Validator(schema(registry()))
    yaml = YAML(typ="safe", pure=True)
    for kind in ("space", "study"):
        for name, file in shipped(kind).items():
            assert list(validator.iter_errors(yaml.load(file.read_text()))) == [], name


def test_no_shipped_study_that_needs_a_file_hides_it() -> None:
    for name in ("speech", "char_lm"):
        spec = StudySpec.load(find_shipped("study", name), resolve_shipped=lambda space: find_shipped("space", space))
        with pytest.raises(InputError, match="path"):
            TaskStudy(spec, RunOptions(Path("unused")))


@pytest.mark.parametrize("name", ["digits", "digits_post", "tabular"])
def test_every_recipe_of_a_shipped_study_has_its_uncompressed_prefix_in_the_space(
    name: str, tmp_path: Path, store: Path
) -> None:
    spec = StudySpec.load(find_shipped("study", name), resolve_shipped=lambda space: find_shipped("space", space))
    study = TaskStudy(spec, RunOptions(tmp_path / name, store=store))
    rng = np.random.default_rng(0)
    for _ in range(10):
        config = study.space.sample(rng)
        prefix = study.uncompressed(config)
        assert prefix is not None
        assert not is_compressed(prefix)
        assert study.objective.training_key(prefix) == study.objective.training_key(config)


def own_task(tmp_path: Path, store: Path, drop: str) -> TaskStudy:
    task = Path(__file__).resolve().parents[2] / "examples" / "custom_task.py"
    text = (
        f"task: {{'{task}:WineTask': {{hidden: 16}}}}\n"
        f"space: {{layers: {{drop: {drop}}}, training: {{lr: {{log: [0.01, 0.1]}}, epochs: 2, finetune_epochs: 0}}}}\n"
        "objectives: {error: min, bytes: min}\nbudget: {trials: 3}\nbaselines: none\nfinal_seeds: 1\n"
    )
    return TaskStudy(StudySpec.parse(text), RunOptions(tmp_path / "own", store=store))


def test_recipes_that_a_network_cannot_carry_out_are_passed_over_with_a_notice(tmp_path: Path, store: Path) -> None:
    study = own_task(tmp_path, store, "[none, {last: {count: 1}}]")
    assert len(study.notices) == 1
    assert "of the space is passed over: layers.drop: last drops residual blocks" in study.notices[0]
    records = study.run().engine.trials()
    assert {record.state for record in records} <= {"COMPLETE", "PRUNED"}
    assert all(record.config["layers"]["drop"] == "none" for record in records)


def test_a_space_of_which_a_network_can_carry_out_nothing_is_refused(tmp_path: Path, store: Path) -> None:
    with pytest.raises(InputError, match="the task 'wine' has none"):
        own_task(tmp_path, store, "{last: {count: 1}}")
