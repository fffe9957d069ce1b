"""Tasks by name, import path, file, entry point and object; parameters in text."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import pytest
from ruamel.yaml import YAML

from autoreg.errors import InputError
from autoreg.tasks import Task, check_task, load_task, task_names, task_spec
from autoreg.tasks.digits import DigitsTask
from autoreg.tasks.params import convert

ROOT = Path(__file__).resolve().parents[2]
MODULE = """
from autoreg.tasks.digits import DigitsTask
def make(train_images: int = 50, name: str = ""):
    return DigitsTask(train_images=train_images)
def wrong():
    return 3
number = 3
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A current folder with a module `mine`, forgotten afterwards."""
    (tmp_path / "mine.py").write_text(MODULE, encoding="utf-8")
    (tmp_path / "torn.py").write_text("import no_such_library\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p])
    for name in ("mine", "torn"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    yield tmp_path
    sys.modules.pop("mine", None)


def test_built_in_tasks_are_found_by_name() -> None:
    assert task_names()[:4] == ("digits", "speech", "tabular", "char_lm")
    task = load_task("digits", {"train_images": "60"})
    assert isinstance(task, DigitsTask)
    assert task.train_images == 60


@pytest.mark.parametrize(
    ("name", "params", "said"),
    [
        ("digit", {}, "no task 'digit'; did you mean 'digits'"),
        ("digits", {"train_image": 3}, "no parameter 'train_image'; did you mean 'train_images'"),
        ("digits", {"train_images": "many"}, "parameter train_images: found 'many' .str.; expected a whole number"),
        ("digits", {"train_images": 40.5}, "expected a whole number"),
        ("digits", {"train_images": True}, "expected a whole number"),
        ("digits", {"train_images": 5}, "train_images is 5; expected 20 to 697"),
        ("tabular", {"data": "breast"}, "did you mean 'breast_cancer'"),
        ("speech", {}, r"needs parameter 'path' \(an .npz file with.*\); give it with -p path="),
        ("speech", {"path": "nowhere.npz"}, "no file 'nowhere.npz'; say where the .npz is with -p path="),
        ("char_lm", {}, "needs parameter 'path'"),
        ("char_lm", {"path": "nowhere.txt"}, "no file 'nowhere.txt'"),
        ("no.such.module:make", {}, "no module 'no'"),
        ("autoreg.tasks.digits:DigitTask", {}, "has no 'DigitTask'; did you mean 'DigitsTask'"),
        ("nowhere.py:make", {}, "no file 'nowhere.py'"),
        ("1:2", {}, "no module '1'"),
        (":make", {}, "expected package.module:factory"),
    ],
)
def test_what_cannot_be_loaded_says_why(name: str, params: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        load_task(name, params)


def test_a_module_in_the_current_folder_is_found(folder: Path) -> None:
    task = load_task("mine:make", {"train_images": 70})
    assert task.parameters()["train_images"] == 70


def test_a_file_is_found_by_its_path_and_loaded_once(folder: Path) -> None:
    assert isinstance(load_task("mine.py:make"), DigitsTask)
    assert "mine" in sys.modules
    known = sys.modules["mine"]
    load_task(str(folder / "mine.py") + ":make")
    assert sys.modules["mine"] is known


def test_a_factory_that_makes_no_task_is_refused(folder: Path) -> None:
    with pytest.raises(InputError, match="made a int"):
        load_task("mine:wrong")
    with pytest.raises(InputError, match="found a int"):
        load_task("mine:number")


def test_a_module_that_lacks_a_library_names_the_library(folder: Path) -> None:
    with pytest.raises(InputError, match="torn imports 'no_such_library', which is not installed"):
        load_task("torn:make")


def test_what_a_factory_was_given_is_part_of_the_fingerprint(folder: Path) -> None:
    plain = load_task("mine:make").fingerprint()
    assert load_task("mine:make", {"name": "x"}).fingerprint() != plain
    assert load_task("mine:make").fingerprint() == plain


def test_objects_classes_and_functions_are_taken_as_they_are() -> None:
    task = DigitsTask(train_images=30)
    assert load_task(task) is task
    assert load_task(DigitsTask, {"train_images": 30}).parameters() == task.parameters()
    assert load_task(lambda: task) is task
    with pytest.raises(InputError, match="given as an object"):
        load_task(task, {"width": 3})
    with pytest.raises(InputError, match="found a int"):
        load_task(3)  # type: ignore[arg-type]


def test_an_installed_package_brings_tasks_by_entry_point(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = folder / "mine-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text("[autoreg.tasks]\nmy_digits = mine:make\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(folder))
    assert "my_digits" in task_names()
    assert isinstance(load_task("my_digits", {"train_images": 25}), DigitsTask)


def test_a_study_names_a_task_with_or_without_parameters() -> None:
    assert task_spec("digits") == ("digits", {})
    assert task_spec({"digits": {"train_images": 400}}) == ("digits", {"train_images": 400})
    assert task_spec({"digits": None}) == ("digits", {})
    with pytest.raises(InputError, match="found 2 keys"):
        task_spec({"digits": {}, "speech": {}})
    with pytest.raises(InputError, match="expected a mapping of parameters"):
        task_spec({"digits": 400})


def test_the_custom_task_of_the_examples_is_loaded_as_its_docstring_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    found = YAML(typ="safe").load("task: {examples.custom_task:WineTask: {hidden: 32}}")
    for name in ("examples.custom_task:WineTask", "examples/custom_task.py:WineTask"):
        spec = task_spec(found["task"] if "/" not in name else {name: {"hidden": 32}})
        task = load_task(*spec)
        assert task.name == "wine"
        assert check_task(task) == []
        assert task.build_model()[0].out_features == 32  # type: ignore[index]


@pytest.mark.parametrize(
    ("value", "hint", "expected"),
    [
        ("3", int, 3),
        (3, float, 3.0),
        ("1e-3", float, 0.001),
        ("true", bool, True),
        ("off", bool, False),
        ("a, b", tuple[str, ...], ("a", "b")),
        (["1", 2], list[int], [1, 2]),
        ([1, 2], Sequence[float], (1.0, 2.0)),
        ("none", int | None, None),
        ("4", int | None, 4),
        ("x", Literal["x", "y"], "x"),
        ("a/b", Path, Path("a/b")),
        (Path("a"), str, "a"),
        ("as it is", Any, "as it is"),
    ],
)
def test_text_is_read_as_the_annotated_type(value: Any, hint: Any, expected: Any) -> None:
    found = convert("here", value, hint)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(("value", "hint"), [("x", int | None), (3, str), ("maybe", bool), (3, tuple[str, ...])])
def test_another_type_is_refused(value: Any, hint: Any) -> None:
    with pytest.raises(InputError, match="here: found"):
        convert("here", value, hint)


def test_importing_the_package_and_naming_its_tasks_needs_no_torch() -> None:
    code = (
        "import sys; from autoreg.tasks import Task, load_task, task_names; task_names(); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "False"


def test_making_a_built_in_task_by_name_gives_equal_fingerprints_to_the_class() -> None:
    made: Task = DigitsTask(train_images=30)
    assert load_task("digits", {"train_images": 30}).fingerprint() == made.fingerprint()
