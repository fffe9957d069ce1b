"""Study files: what they say, and how wrong ones are refused."""

# ruff: noqa: E501  (tables of cases read best with one case a line)

from __future__ import annotations

from pathlib import Path

import pytest

from autoreg.errors import InputError
from autoreg.space import Budget, Space, StudySpec

STUDY = """\
name: digits
task: {digits: {train_images: 400}}
space: cnn_joint.yaml
objectives: {error: min, flops: min}
constraints: ["error <= 0.2"]
budget: {trials: 60}
seed: 7
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a study and, beside it, its space."""
    (tmp_path / "study.yaml").write_text(STUDY)
    (tmp_path / "cnn_joint.yaml").write_text("name: cnn\nbits: [4, 8]\n")
    return tmp_path


def test_a_study_says_what_it_says(folder: Path) -> None:
    study = StudySpec.load(folder / "study.yaml")
    assert (study.name, study.task, study.task_params) == ("digits", "digits", {"train_images": 400})
    assert study.space == Space.parse("name: cnn\nbits: [4, 8]")
    assert study.objectives == {"error": "min", "flops": "min"}
    assert [str(constraint) for constraint in study.constraints] == ["error <= 0.2"]
    assert study.budget == Budget(trials=60)
    assert (study.seed, study.executor, study.workers, study.sampler) == (7, "local", 1, "auto")
    assert (study.baselines, study.final_seeds, study.text) == ("default", 3, STUDY)
    assert (study.format, study.compress) == ("safetensors", True)


def test_what_is_left_out_has_a_default(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("task: my.module:factory\nspace: {lr: [0.1, 0.2]}\nobjectives: {accuracy: max}\n")
    study = StudySpec.load(file)
    assert (study.name, study.task, study.budget) == ("mine", "my.module:factory", Budget(trials=100))
    assert study.space.size().count == 2


def test_a_space_is_found_beside_the_study_first_then_among_the_shipped(folder: Path) -> None:
    shipped = folder / "elsewhere.yaml"
    shipped.write_text("lr: [1, 2, 3]\n")
    asked = []

    def resolve(name: str) -> Path | None:
        asked.append(name)
        return shipped if name == "cnn_joint.yaml" else None

    assert StudySpec.load(folder / "study.yaml", resolve).space.name == "cnn"
    (folder / "cnn_joint.yaml").unlink()
    assert StudySpec.load(folder / "study.yaml", resolve).space == Space.load(shipped)
    assert asked == ["cnn_joint.yaml"]


WRONG = {
    "an unknown key": ("objectives: {error: min, flops: min}", "objectivs: {error: min}", "s.yaml:4: objectivs: unknown key 'objectivs' of a study; allowed: name, task, space, objectives,"),
    "a negative number of trials": ("budget: {trials: 60}", "budget:\n  trials: -3", "s.yaml:7: budget.trials: found -3; allowed: a whole number from 1"),
    "a word for a number": ("budget: {trials: 60}", "budget: {trials: many}", "s.yaml:6: budget.trials: found 'many'; allowed: a whole number from 1"),
    "half a trial": ("trials: 60", "trials: 2.5", "s.yaml:6: budget.trials: found 2.5; allowed: a whole number from 1"),
    "no time": ("trials: 60", "minutes: 0", "s.yaml:6: budget.minutes: found 0; allowed: a number above 0"),
    "a limit misspelt": ("trials: 60", "trails: 60", "s.yaml:6: budget.trails: unknown key 'trails' of a budget; allowed: trials, minutes, epochs; did you mean 'trials'?"),
    "an empty budget": ("{trials: 60}", "{}", "s.yaml:6: budget: found {}; allowed: a mapping with at least one of trials, minutes, epochs"),
    "a direction spelt out": ("error: min,", "error: minimize,", "s.yaml:4: objectives.error: found 'minimize'; allowed: min, max; did you mean 'min'?"),
    "a list of objectives": ("{error: min, flops: min}", "[error, flops]", "s.yaml:4: objectives: found ['error', 'flops']; allowed: a mapping of metrics to min or max"),
    "a seed that is no number": ("seed: 7", "seed: seven", "s.yaml:7: seed: found 'seven'; allowed: a whole number from 0"),
    "a truth value for a number": ("seed: 7", "workers: true", "s.yaml:7: workers: found true; allowed: a whole number from 1"),
    "an executor misspelt": ("seed: 7", "executor: lcoal", "s.yaml:7: executor: found 'lcoal'; allowed: local, ray; did you mean 'local'?"),
    "a sampler that is none": ("seed: 7", "sampler: tpee", "s.yaml:7: sampler: found 'tpee'; allowed: auto, tpe, nsga2, random, grid, evolution; did you mean 'tpe'?"),
    "a format of no file": ("seed: 7", "format: onx", "s.yaml:7: format: found 'onx'; allowed: onnx, torch, safetensors; did you mean 'onnx'?"),
    "compression of a graph": ("seed: 7", "format: torch\ncompress: true", "s.yaml:8: compress: found true; allowed: false with format: torch"),
    "compression by a number": ("seed: 7", "compress: 9", "s.yaml:7: compress: found 9; allowed: true, false"),
    "baselines by a truth value": ("seed: 7", "baselines: false", "s.yaml:7: baselines: found false; allowed: default, full, none"),
    "two tasks": ("{digits: {train_images: 400}}", "{digits: {}, speech: {}}", "s.yaml:2: task: found {'digits': {}, 'speech': {}}; allowed: the name of a task"),
    "parameters of a task that are none": ("{digits: {train_images: 400}}", "{digits: 400}", "s.yaml:2: task.digits: found 400; allowed: {digits: {parameter: value}}"),
    "a constraint that is none": ('["error <= 0.2"]', '\n  - "error <= 0.2"\n  - "error =< 0.2"', "s.yaml:7: constraints[1]: 'error =< 0.2' is no expression"),
    "a space that is nowhere": ("cnn_joint.yaml", "cnn_jiont.yaml", "s.yaml:3: space: found 'cnn_jiont.yaml', neither the file"),
    "a key without value": ("seed: 7", "seed:", "s.yaml:7: seed: found nothing (null)"),
    "a wrong space inside": ("space: cnn_joint.yaml", "space:\n  lr:\n    log: [0, 1]", "s.yaml:5: space.lr.log: low is 0.0; allowed: numbers above 0"),
    "no objectives": ("objectives: {error: min, flops: min}\n", "", "s.yaml:1: 'objectives' is missing; found name, task, space, constraints, budget, seed"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_wrong_studies_are_refused_with_line_and_what_is_allowed(
    case: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new, message = WRONG[case]
    assert old in STUDY
    (folder / "s.yaml").write_text(STUDY.replace(old, new))
    monkeypatch.chdir(folder)
    with pytest.raises(InputError) as error:
        StudySpec.load("s.yaml")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_the_nearest_file_is_suggested_for_a_space_that_is_nowhere(folder: Path) -> None:
    (folder / "s.yaml").write_text(STUDY.replace("cnn_joint", "cnn_jiont"))
    with pytest.raises(InputError, match=r"did you mean 'cnn_joint\.yaml'\?"):
        StudySpec.load(folder / "s.yaml", lambda name: None)


def test_an_error_in_the_space_names_the_file_of_the_space(folder: Path) -> None:
    (folder / "cnn_joint.yaml").write_text("a: 1\nb: {log: [0, 1]}\n")
    with pytest.raises(InputError, match=r"cnn_joint\.yaml:2: b\.log: low is 0\.0"):
        StudySpec.load(folder / "study.yaml")


def test_the_command_line_overrides_and_is_checked(folder: Path) -> None:
    study = StudySpec.load(folder / "study.yaml")
    changed = study.override({"trials": 5}, seed=3, sampler=None)
    assert (changed.budget.trials, changed.seed, changed.sampler) == (5, 3, "auto")
    with pytest.raises(InputError, match=r"--executor: found 'lcoal'; allowed: local, ray; did you mean 'local'\?"):
        study.override(executor="lcoal")
    assert StudySpec.is_study(folder / "study.yaml")
    assert not StudySpec.is_study(folder / "cnn_joint.yaml")
