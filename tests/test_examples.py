"""The examples run as they stand, and so does what the README shows."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest
import typer.main

import autoreg
from autoreg.commands.main import app
from autoreg.methods import registry
from autoreg.space import Space
from autoreg.study.check import check_file

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "examples"
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, re.DOTALL)


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_an_objective_of_ones_own() -> None:
    study = load("own_objective").main(trials=12)
    assert len(study.trials) == 12
    assert len(study.front) >= 1


def test_a_plain_loop_learns_and_keeps_a_fifth_of_its_weights() -> None:
    assert load("plain_loop").main(epochs=4) < 0.3


def block(language: str, containing: str) -> str:
    """The one block of the README in a language that holds some text."""
    found: list[str] = [text for name, text in BLOCKS if name == language and containing in text]
    assert len(found) == 1
    return found[0]


def test_the_readme_is_short() -> None:
    assert len(README.splitlines()) <= 150


def test_the_task_of_the_readme_is_that_of_the_examples() -> None:
    code = (EXAMPLES / "custom_task.py").read_text(encoding="utf-8")
    assert code.split('"""', 2)[2].strip() == block("python", "class WineTask").strip()


def test_the_study_of_the_readme_is_checked_with_the_task_beside_it(tmp_path: Path) -> None:
    (tmp_path / "my_task.py").write_text(block("python", "class WineTask"), encoding="utf-8")
    (tmp_path / "my_study.yaml").write_text(block("yaml", "my_task.py:WineTask"), encoding="utf-8")
    found = check_file(str(tmp_path / "my_study.yaml"), store=tmp_path / "store")
    assert set(found["costs"]) >= {"flops", "bytes"}
    sys.modules.pop("my_task", None)


def test_the_objective_of_the_readme_is_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code = block("python", "autoreg.search").replace("trials=50", "trials=6")
    names = {"train_a_little": lambda lr, width, step: lr / width / step + 0.01}
    exec(compile(code, "README.md", "exec"), names)
    study = names["study"]
    assert isinstance(study, autoreg.Study)
    assert len(study.trials) == 6
    assert (tmp_path / "runs" / "mine" / "events.jsonl").exists()


def test_the_space_of_the_readme_fits_the_methods() -> None:
    assert len(Space.parse(block("yaml", "forbidden:")).bind(registry()).parameters) > 5


def test_the_commands_of_the_readme_exist_with_their_options() -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    lines = [line for name, text in BLOCKS if name == "sh" for line in text.splitlines() if line.startswith("autoreg ")]
    assert len(lines) >= 6
    for line in lines:
        words = line.split("#")[0].split()
        options = {option for parameter in commands[words[1]].params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= options, line
