"""A study on disk: opened, refused, written by one process at a time."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

import autoreg
from autoreg.study.folder import open_folder, single_writer, write_json

SPACE = {"x": {"uniform": [0, 1]}}
ASKED = {
    "space_digest": "a",
    "objectives": {"error": "min"},
    "constraints": [],
    "seed": 0,
    "task": None,
    "sampler": "auto",
}


def objective(config: dict[str, float], trial: autoreg.Trial) -> dict[str, float]:
    return {"error": config["x"], "cost": 1 - config["x"]}


def test_a_study_is_opened_as_it_was_left(tmp_path: Path) -> None:
    made = autoreg.search(objective, SPACE, {"error": "min", "cost": "min"}, trials=12, storage=tmp_path / "s")
    before = (tmp_path / "s" / "events.jsonl").read_bytes()
    opened = autoreg.Study.open(tmp_path / "s")
    assert opened.trials.equals(made.trials)
    assert opened.front.equals(made.front)
    assert opened.best(by="cost") == made.best(by="cost")
    assert (tmp_path / "s" / "events.jsonl").read_bytes() == before
    with pytest.raises(autoreg.InputError, match="holds no study"):
        autoreg.Study.open(tmp_path)
    with pytest.raises(autoreg.InputError, match="stores no models"):
        opened.load(0)


def test_a_folder_that_holds_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("ten years")
    with pytest.raises(autoreg.StudyError, match="is not empty and holds no study"):
        open_folder(tmp_path, ASKED, resume=False)


@pytest.mark.parametrize("change", [{"space_digest": "b"}, {"objectives": {"loss": "min"}}, {"seed": 1}, {"task": "t"}])
def test_another_question_is_refused_on_resume(change: dict[str, object], tmp_path: Path) -> None:
    open_folder(tmp_path, ASKED, resume=False)
    with pytest.raises(autoreg.StudyError, match="is not the one it was started with"):
        open_folder(tmp_path, {**ASKED, **change}, resume=True)
    open_folder(tmp_path, {**ASKED, "budget": {"trials": 9}}, resume=True)
    assert json.loads((tmp_path / "study.json").read_text())["budget"] == {"trials": 9}


def test_two_writers_at_a_time_are_refused(tmp_path: Path) -> None:
    with single_writer(tmp_path), pytest.raises(autoreg.StudyError, match="another process is running"):  # noqa: SIM117
        with single_writer(tmp_path):
            raise AssertionError("held twice")
    with single_writer(tmp_path):
        pass


def test_json_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"v": 1})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"v": float("nan")})
    assert json.loads((tmp_path / "a.json").read_text()) == {"v": 1}
    with pytest.raises(autoreg.StudyError, match="cannot be written"):
        write_json(Path("/dev/full/a.json"), {})


def test_halves_of_characters_are_written_as_their_escapes(tmp_path: Path) -> None:
    """Python puts them into names of files that are no UTF-8; alone they cannot be encoded."""
    text = os.fsdecode(b"caf\xe9")
    write_json(tmp_path / "a.json", {"files": [{text: text, "notes": (text,), "size": 3}]})
    read = json.loads((tmp_path / "a.json").read_text())
    assert read == {"files": [{"caf\\udce9": "caf\\udce9", "notes": ["caf\\udce9"], "size": 3}]}
