"""What a study file names as its task is verified before it is called, whichever command reads it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from autoreg.errors import InputError
from autoreg.study.check import check_file
from autoreg.trial.task_ref import TaskRef

STUDY = "task: {TASK: {PARAMS}}\nspace: {training: {lr: [0.1, 0.2]}}\nobjectives: {error: min}\nbudget: {trials: 2}\n"


def study_file(folder: Path, task: str, params: str = "") -> str:
    path = folder / "study.yaml"
    path.write_text(STUDY.replace("TASK", f'"{task}"').replace("PARAMS", params))
    return str(path)


@pytest.mark.parametrize("imports", [(), ("subprocess",)])
def test_no_function_of_the_language_is_called(imports: tuple[str, ...], tmp_path: Path) -> None:
    file = study_file(tmp_path, "subprocess:getoutput", f"cmd: touch {tmp_path / 'called'}")
    with pytest.raises(InputError, match=r"task subprocess:getoutput: .*(--import subprocess|-> Task)"):
        check_file(file, imports=imports, store=tmp_path / "store")
    assert not (tmp_path / "called").exists()


def test_a_task_beside_the_study_is_found_from_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "beside_it.py").write_text(
        "from autoreg.tasks.digits import DigitsTask\nclass Few(DigitsTask):\n    pass\n"
    )
    monkeypatch.chdir(tmp_path / "here")
    file = study_file(tmp_path / "there", "beside_it.py:Few", "train_images: 40, width: 2")
    found = check_file(file, store=tmp_path / "store")
    assert found["costs"]["flops"]["dense"] > 0
    sys.modules.pop("beside_it", None)


def test_a_recorded_task_is_found_again_where_its_study_file_was(tmp_path: Path) -> None:
    study = {"task": {"name": "beside_it.py:Few", "params": {"width": 2}}, "imports": ["json"]}
    there = TaskRef.recorded({**study, "study_folder": str(tmp_path)})
    assert there == TaskRef("beside_it.py:Few", {"width": 2}, ("json",), str(tmp_path))
    assert TaskRef.recorded({**study, "study_folder": str(tmp_path / "gone")}).study_folder == str(Path.cwd())
    assert TaskRef.recorded(study).study_folder is None  # studies of older versions do not say
