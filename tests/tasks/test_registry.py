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
def make(train_images: int = 50, name: str = "") -> DigitsTask:
    return DigitsTask(train_images=train_images)
def wrong() -> DigitsTask:
    return 3
def plain():
    open("called", "w").close()
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
    ("name", "params", "message"),
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
        ("1:2", {}, "'1' is not a module's name; expected package.module:factory"),
        (":make", {}, "expected package.module:factory"),
    ],
)
def test_what_cannot_be_loaded_says_why(name: str, params: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
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
    found = YAML(typ="safe", pure=True).load("task: {examples.custom_task:WineTask: {hidden: 32}}")
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


BESIDE = "from autoreg.tasks.digits import DigitsTask\nclass Mine(DigitsTask):\n    name = 'mine'\n"


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of a study with a module beside it, and a current folder elsewhere with another one."""
    folder, elsewhere = tmp_path / "study", tmp_path / "elsewhere"
    for place, module in ((folder, "beside"), (elsewhere, "apart")):
        place.mkdir()
        (place / f"{module}.py").write_text(f"open({str(tmp_path / module)!r}, 'w').close()\n{BESIDE}")
    (folder / "deeper").mkdir()
    (folder / "deeper" / "inside.py").write_text(BESIDE)
    monkeypatch.chdir(elsewhere)
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p])
    yield folder
    for name in ("beside", "apart", "deeper", "deeper.inside", "inside"):
        sys.modules.pop(name, None)


def test_a_study_names_what_lies_beside_it(study: Path) -> None:
    for name in ("beside.py:Mine", "beside:Mine", "deeper/inside.py:Mine", "deeper.inside:Mine"):
        assert load_task(name, {"train_images": 30}, study_folder=study).name == "mine"
    assert load_task("digits", study_folder=study).name == "digits"
    assert load_task("autoreg.tasks.digits:DigitsTask", study_folder=study).name == "digits"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("apart:Mine", "names the module 'apart', which does not lie beside it in .*; .* --import apart"),
        ("apart.py:Mine", "no file .*apart.py.*, beside the study in"),
        ("../elsewhere/apart.py:Mine", "names files beside the study in .*, and '../elsewhere/apart.py' does not lie"),
        ("subprocess:getoutput", "names the module 'subprocess', which does not lie beside it"),
        ("__main__:main", "names the module '__main__', which does not lie beside it"),
        ("autoreg.commands.main:main", "function .* declare.*; expected a subclass of Task, or a function annotated"),
    ],
)
def test_a_study_cannot_have_anything_else_imported(name: str, message: str, study: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        load_task(name, study_folder=study)
    assert not (tmp_path / "apart").exists()  # which the module makes when it is imported


def test_a_file_that_is_reached_by_its_whole_path_is_refused_too(study: Path) -> None:
    with pytest.raises(InputError, match="does not lie there"):
        load_task(f"{Path.cwd() / 'apart.py'}:Mine", study_folder=study)


def test_no_file_beside_a_study_stands_in_for_a_module_of_the_language(study: Path) -> None:
    (study / "colorsys.py").write_text(BESIDE)
    with pytest.raises(InputError, match="names the module 'colorsys', which does not lie beside it"):
        load_task("colorsys:Mine", study_folder=study)
    assert load_task("colorsys.py:Mine", study_folder=study).name == "mine"


def test_what_the_user_named_may_stand_in_a_study(study: Path) -> None:
    sys.path.append(str(Path.cwd()))
    assert load_task("apart:Mine", study_folder=study, imports=("apart",)).name == "mine"


@pytest.mark.parametrize("name", ["subprocess:getoutput", "os:system", "mine:plain", "mine.py:plain", "mine:Path"])
def test_what_is_no_task_is_refused_before_it_is_called(name: str, folder: Path) -> None:
    (folder / "mine.py").write_text("from pathlib import Path\n" + MODULE)
    command = {"cmd": "touch called"} if name.startswith("sub") else {"command": "touch called"}
    with pytest.raises(InputError, match=r"expected a subclass of Task, or a function annotated to return one"):
        load_task(name, command if "mine" not in name else {})
    assert not (folder / "called").exists()


def test_annotations_that_cannot_be_read_are_refused_with_the_reason(folder: Path) -> None:
    (folder / "mine.py").write_text("def make() -> 'Unknown':\n    open('called', 'w').close()\n")
    with pytest.raises(InputError, match=r"annotations cannot be read .*'Unknown' is not defined"):
        load_task("mine:make")
    assert not (folder / "called").exists()
