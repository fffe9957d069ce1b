"""A warm start from recipes on a share of the data: what is tried, learned, paid and resumed."""

from __future__ import annotations

import html
import io
import json
import shutil
import sys
from contextlib import redirect_stderr
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from autoreg.commands import main
from autoreg.engine.transfer.earlier_studies import SOURCES_FILE
from autoreg.errors import InputError, StudyError
from autoreg.report.data.load import StudyData
from autoreg.space.study_spec import StudySpec
from autoreg.study.folder import open_folder, single_writer
from autoreg.study.options import RunOptions
from autoreg.study.study import Study
from autoreg.study.subset_spec import subset_spec
from autoreg.study.subset_warm_start import SUBSET_FOLDER, warm_up
from autoreg.study.task_study import TaskStudy

STUDY = """\
name: tiny
task: {tabular: {data: wine}}
space:
  sparsity:
    - none
    - weight: {amount: {uniform: [0.3, 0.99]}, criterion: magnitude, allocation: uniform, schedule: one_shot}
  training: {lr: {log: [1e-4, 1e-1]}, epochs: 4, finetune_epochs: 0}
objectives: {error: min, bytes: min}
constraints: ["error <= 0.5", "bytes <= dense.bytes", "latency_ms <= 100"]
budget: {trials: 12, epochs: 100}
baselines: none
final_seeds: 1
"""
SPEC = StudySpec.parse(STUDY)


def made(folder: Path, store: Path, spec: StudySpec = SPEC, **changes: Any) -> TaskStudy:
    given = {"warm_subset": 0.5, "warm_subset_trials": 12, **changes}
    return TaskStudy(spec, RunOptions(folder, store=store, **given))


def begin(study: TaskStudy) -> None:
    """Leave the folder as a study does that has had its first trial."""
    open_folder(study.options.folder, study.study_config(), resume=False)
    (study.options.folder / "events.jsonl").write_text("{}")


def test_the_study_of_a_share_asks_for_quality_alone_within_known_costs() -> None:
    spec = subset_spec(SPEC, "error", 0.1, 20)
    assert spec.objectives == {"error": "min"}
    assert [str(rule) for rule in spec.constraints] == ["bytes <= dense.bytes"]
    assert spec.space.to_dict()["training"] == {**SPEC.space.to_dict()["training"], "share": 0.1}
    assert (spec.budget.trials, spec.budget.epochs, spec.sampler) == (20, None, "random")
    with pytest.raises(InputError, match=r"says training\.share itself"):
        subset_spec(spec, "error", 0.1)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, store: Path) -> tuple[Path, str]:
    """The folder of a study that had a warm start, and what the command line said of it."""
    folder, said = tmp_path_factory.mktemp("finished"), io.StringIO()
    (folder / "tiny.yaml").write_text(STUDY)
    command = ["autoreg", "run", folder / "tiny.yaml", "--out", folder / "out", "--store", store]
    command += ["--warm-subset", 0.5, "--warm-subset-trials", 12]
    with pytest.MonkeyPatch.context() as patch, redirect_stderr(said):
        patch.setattr(sys, "argv", [str(word) for word in command])
        with pytest.raises(SystemExit) as ended:
            main.main()
    assert ended.value.code == 0
    return folder / "out", said.getvalue()


def test_a_study_begins_with_what_a_share_of_the_data_says(finished: tuple[Path, str], store: Path) -> None:
    folder, said = finished
    assert f"Note: warm start from {folder / SUBSET_FOLDER}: 12 trials, 3 of 3 parameters matched" in said
    searched = Study.open(folder)
    records = searched.engine.trials()
    assert len(records) == 12
    assert all("share" not in record.config["training"] for record in records)
    assert [source["name"] for source in searched.engine.predictor()["prior"]["sources"]] == [
        str(folder / SUBSET_FOLDER)
    ]
    assert f"Warm start from {folder / SUBSET_FOLDER}: 12 trials" in html.unescape((folder / "report.html").read_text())

    few = StudyData.load(folder / SUBSET_FOLDER)
    assert len(few.trials) == 12
    assert set(few.trials["state"]) == {"COMPLETE"}
    assert all(r.config["training"]["share"] == 0.5 for r in few.state.records)
    assert all(r.info.epochs_requested == pytest.approx(2.0) for r in few.state.records)
    assert "latency_ms" not in few.trials.columns

    asked = json.loads((folder / "study.json").read_text())
    assert asked["prepared"]["subset_epochs"] == pytest.approx(few.epochs_run)
    own = sum(record.epochs_run for record in records)
    dense = asked["prepared"]["epochs_run"] - asked["prepared"]["subset_epochs"]
    assert StudyData.load(folder).epochs_run == pytest.approx(own + dense + few.epochs_run)
    study = made(folder, store, resume=True)
    _ = study.dense
    assert study.prepared == asked["prepared"]
    assert study._budget().epochs == pytest.approx(100 - few.epochs_run)


def test_a_study_that_was_warmed_goes_on_without_what_it_learned_from(
    finished: tuple[Path, str], tmp_path: Path, store: Path
) -> None:
    for name in ("study.json", "events.jsonl", SOURCES_FILE):
        shutil.copy(finished[0] / name, tmp_path)
    study = made(tmp_path, store, warm_subset=None, resume=True)
    assert study.prior is not None
    assert warm_up(study) == warm_up(made(tmp_path, store, resume=True)) == ()


def test_a_study_that_was_ended_while_it_warmed_up_goes_on_there(
    finished: tuple[Path, str], tmp_path: Path, store: Path
) -> None:
    shutil.copytree(finished[0] / SUBSET_FOLDER, tmp_path / SUBSET_FOLDER)
    log = tmp_path / SUBSET_FOLDER / "events.jsonl"
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join(lines[:-9]))
    study = made(tmp_path, store)
    (notice,) = warm_up(study)
    assert f"{SUBSET_FOLDER}: 12 trials, 3 of 3 parameters matched" in notice
    assert study.prior is not None
    (taken,) = json.loads((finished[0] / SOURCES_FILE).read_text())
    assert [dict(flat) for flat in study.prior.sources[0].flats] == taken["flats"]
    assert list(study.prior.sources[0].quality) == taken["quality"]
    assert study.prepared["subset_epochs"] > 0


def test_a_study_that_was_begun_without_is_not_warmed_later(tmp_path: Path, store: Path) -> None:
    begin(made(tmp_path, store, warm_subset=None))
    with pytest.raises(InputError, match="was begun without one"):
        warm_up(made(tmp_path, store, resume=True))
    assert not (tmp_path / SUBSET_FOLDER).exists()


def test_too_few_recipes_that_end_teach_nothing(tmp_path: Path, store: Path) -> None:
    """Rates and weight decay so large that every loss becomes infinite; that of the dense recipe is as it should be."""
    spec = StudySpec.parse(STUDY.replace("[1e-4, 1e-1]}, epochs: 4", "[5, 10]}, weight_decay: 10.0, epochs: 40"))
    study = made(tmp_path, store, replace(spec, constraints=()))
    (notice,) = warm_up(study)
    assert "of 12 recipes ended on a fraction of the data" in notice
    assert study.prior is None
    begin(study)
    assert warm_up(made(tmp_path, store, replace(spec, constraints=()), resume=True)) == ()


@pytest.mark.parametrize(
    ("changes", "said"),
    [({"warm_subset": 0.001}, "0.001"), ({"warm_subset": 1.5}, "1.5"), ({"warm_subset_trials": 9}, "at least 10")],
)
def test_what_cannot_be_is_refused_before_anything_trains(
    changes: dict[str, Any], said: str, tmp_path: Path, store: Path
) -> None:
    with pytest.raises(InputError, match=said):
        made(tmp_path, store, **changes)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_tried_for_a_folder_that_cannot_be_had(tmp_path: Path, store: Path) -> None:
    study = made(tmp_path, store)
    with single_writer(tmp_path), pytest.raises(StudyError, match="another process is running this study"):
        warm_up(study)
    (tmp_path / "notes.txt").touch()
    for start in (warm_up, TaskStudy.run):
        with pytest.raises(StudyError, match="is not empty and holds no study"):
            start(study)
    assert not (tmp_path / SUBSET_FOLDER).exists()


def sharing(share: str) -> StudySpec:
    return StudySpec.parse(STUDY.replace("finetune_epochs: 0}", f"finetune_epochs: 0, share: {share}}}"))


@pytest.mark.parametrize(
    ("share", "largest"),
    [
        ("0.5", 0.5),
        ("[0.25, 1]", 1.0),
        ("[0.1, 0.3]", 0.3),
        ("{uniform: [0.1, 1.0]}", 1.0),
        ("{log: [0.1, 1]}", 1.0),
        ("{uniform: [0.1, 0.9], step: 0.4}", 0.9),
        ("[0.95, {uniform: [0.1, 0.6]}]", 0.95),
    ],
)
def test_baselines_have_the_largest_share_that_the_space_allows(
    share: str, largest: float, tmp_path: Path, store: Path
) -> None:
    study = made(tmp_path, store, sharing(share), warm_subset=None)
    known = study.baselines()
    assert {"dense", "uniform weights 80 %", "int8"} <= set(known)  # in the space or not
    assert {recipe["training"]["share"] for recipe in known.values()} == {largest}


def test_a_space_with_shares_of_what_has_none_is_refused_when_the_study_is_made(tmp_path: Path, store: Path) -> None:
    changes: dict[str, Any] = {"task": "tests.trial.test_subset:Listed", "task_params": {}}
    for share in ("0.5", "[0.25, 1.0]", "{uniform: [0.1, 1.0]}"):
        with pytest.raises(InputError, match=r"training\.share: task 'listed'"):
            made(tmp_path, store, replace(sharing(share), **changes), warm_subset=None)
    made(tmp_path, store, replace(sharing("1.0"), **changes), warm_subset=None)
