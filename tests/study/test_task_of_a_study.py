"""What a study file names as its task is verified before it is called, whichever command reads it."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

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


def study_json(folder: Path, name: str, study_folder: Path | str | None, *imports: str) -> dict[str, Any]:
    """What study.json says of the task, in a folder of its own."""
    task = {"name": name, "params": {"train_images": 40, "width": 2}, "fingerprint": "00ff"}
    study = {"task": task, "imports": list(imports), "study_folder": study_folder and str(study_folder)}
    folder.mkdir(parents=True, exist_ok=True)
    return study


TASK = "from autoreg.tasks.digits import DigitsTask\nclass Few(DigitsTask):\n    pass\n"


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, apart from any study."""
    here = tmp_path / "elsewhere"
    here.mkdir()
    monkeypatch.chdir(here)
    return here


@pytest.mark.parametrize("task", ["beside_one.py:Few", "beside_two:Few"])
def test_a_recorded_task_is_found_again_where_its_study_file_was(task: str, elsewhere: Path) -> None:
    there = elsewhere.parent / "there"
    study = study_json(there / "out", task, there)
    (there / "beside_one.py").write_text(TASK)
    (there / "beside_two.py").write_text(TASK)
    assert TaskRef.recorded(study, there / "out").load().name == "few"
    sys.modules.pop(task.partition(":")[0].removesuffix(".py"))


def test_where_a_study_file_is_gone_or_not_known_tasks_lie_in_the_current_folder(elsewhere: Path) -> None:
    """A study of an older version, or one made in Python, may name no more than one that has a file."""
    for folder in (elsewhere.parent / "gone", None):
        study = study_json(elsewhere.parent / "out", "own_task.py:Few", folder)
        assert TaskRef.recorded(study, elsewhere.parent / "out").study_folder == str(elsewhere)


@pytest.mark.parametrize("without", [True, False])
def test_a_received_study_names_no_installed_module(without: bool, elsewhere: Path) -> None:
    """Whether it says null or nothing of its study file: the module is not imported."""
    study = study_json(elsewhere.parent / "out", "antigravity:Few", None)
    if without:
        del study["study_folder"]
    with pytest.raises(InputError, match="does not lie beside it"):
        TaskRef.recorded(study, elsewhere.parent / "out").load()
    assert "antigravity" not in sys.modules


@pytest.mark.parametrize("place", ["root", "home", "other"])
def test_a_received_study_names_no_file_of_another_folder(
    place: str, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor by a path that begins like a package which may be named."""
    home = elsewhere.parent / "home"
    out = home / "received" / "out"
    monkeypatch.setenv("HOME", str(home))
    found = {"root": Path("/"), "home": home, "other": elsewhere.parent / "other"}[place]
    folder = elsewhere.parent / "other" if place == "other" else home
    folder.mkdir(exist_ok=True)
    (folder / "not_sent.py").write_text(f"import pathlib\npathlib.Path({str(elsewhere / 'called')!r}).touch()\n{TASK}")
    path = (folder / "not_sent.py").relative_to(found)
    for name in (str(path), f"autoreg.x/../{path}"):
        with pytest.raises(InputError, match="neither within the current folder nor a folder around this study"):
            TaskRef.recorded(study_json(out, f"{name}:Few", found), out).load()
    assert not (elsewhere / "called").exists()
    monkeypatch.chdir(folder)  # where the user stands by choice
    assert TaskRef.recorded(study_json(out, "not_sent.py:Few", folder), out).load().name == "few"
    sys.modules.pop("not_sent")


def test_recorded_imports_are_imported_where_they_lie_beside_the_study_or_the_user_names_them(elsewhere: Path) -> None:
    """Not from among all that is installed; a package that is imported gives no right to its other modules."""
    there = elsewhere.parent / "there"
    study = study_json(there / "out", "digits", there, "antigravity")
    with pytest.raises(InputError, match="pass --import antigravity"):
        TaskRef.recorded(study, there / "out")
    (there / "beside_it_too.py").write_text("")
    study = study_json(there / "out", "digits", there, "beside_it_too", "json")
    assert TaskRef.recorded(study, there / "out").imports == ("beside_it_too",)
    with pytest.raises(InputError, match=r"task json\.tool:main: .*does not lie beside it"):
        TaskRef.recorded(study_json(there / "out", "json.tool:main", there, "json"), there / "out").load()
    assert "json.tool" not in sys.modules
    sys.modules["named_by_the_user"] = ModuleType("named_by_the_user")  # as `--import` leaves it
    study = study_json(there / "out", "digits", there, "named_by_the_user")
    assert TaskRef.recorded(study, there / "out").load().name == "digits"
    del sys.modules["named_by_the_user"]
