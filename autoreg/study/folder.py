"""A study's folder: its files, what it may hold when a study begins or goes on, and its one writer."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import Timeout

from autoreg.engine.log.events import with_safe_text
from autoreg.errors import StudyError
from autoreg.files import write_whole
from autoreg.locks import take_lock

if TYPE_CHECKING:
    from autoreg.engine.engine import Engine

STUDY_FORMAT = 1
FIXED_AT_START = ("dense", "normalizer", "prepared", "machine")


def write_posterior(folder: Path, engine: Engine) -> None:
    """Write an engine's posterior of its front, and what became of a warm start, as `posterior.json`.

    `docs/formats.md` describes the file.
    """
    posterior: dict[str, Any] = {
        "ended": len(engine.state.ended_numbers),
        "incumbents": {str(number): value for number, value in engine.incumbents().items()},
        "probabilities": {str(number): value for number, value in engine.probabilities().items()},
    }
    prior = engine.predictor().get("prior")
    write_json(folder / "posterior.json", posterior if prior is None else {**posterior, "prior": prior})


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file whole or not at all; halves of characters in its texts become their escapes.

    Raises:
        StudyError: the disk is full or the folder cannot be written; what was there before still is.
    """
    text = json.dumps(with_safe_text(content), indent=1, allow_nan=False)
    try:
        write_whole(path, text.encode())
    except OSError as error:
        raise StudyError(f"{path}: cannot be written ({error.strerror}); nothing that was stored is lost") from error


@contextlib.contextmanager
def single_writer(folder: Path) -> Iterator[None]:
    """Hold the right to write a study's folder.

    Raises:
        StudyError: another process writes it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        lock = take_lock(folder / ".lock")
    except Timeout:
        raise StudyError(f"{folder}: another process is running this study; wait for it or end it") from None
    try:
        yield
    finally:
        lock.release()


def open_folder(folder: Path, study_config: Mapping[str, Any], *, resume: bool) -> None:
    """Make a study's folder, or go on with the one that is there, as `check_folder` allows.

    Raises:
        StudyError: as `check_folder` does.
    """
    before = check_folder(folder, study_config, resume=resume)
    fixed = {key: before[key] for key in FIXED_AT_START if key in before}  # the scale that the log is read on
    write_json(folder / "study.json", {**before, **study_config, **fixed, "format": STUDY_FORMAT})


def check_folder(folder: Path, study_config: Mapping[str, Any], *, resume: bool) -> Mapping[str, Any]:
    """Check that a study can be made in a folder, or that the one that is there has the same configuration.

    Args:
        folder: where the study lives; nothing in it is changed.
        study_config: what goes into study.json.
        resume: whether a study that is there is meant to go on.

    Returns:
        What study.json holds; nothing where there is none yet.

    Raises:
        StudyError: other files are there, a study is there and `resume` is off, or its configuration is another.
    """
    file = folder / "study.json"
    if not file.exists():
        if folder.exists() and {p.name for p in folder.iterdir()} - {".lock", "optuna.journal", "subset"}:
            raise StudyError(f"{folder}: is not empty and holds no study; name another folder with --out")
        return {}
    if not resume:
        raise StudyError(f"{folder}: holds a study already; add --resume to go on with it, or name another --out")
    before: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    for key, what in (
        ("space_digest", "the search space"),
        ("objectives", "the objectives"),
        ("constraints", "the constraints"),
        ("seed", "the seed"),
        ("task", "the task"),
        ("sampler", "the sampler"),
    ):
        if _same(before.get(key)) != _same(study_config.get(key)):
            raise StudyError(
                f"{folder}: {what} of this study is not the one it was started with "
                f"(then {_short(before.get(key))}, now {_short(study_config.get(key))}); name another --out"
            )
    return before


def _same(value: Any) -> Any:
    """The part of a value that is compared: a task is known by its fingerprint, wherever its data lies."""
    return value["fingerprint"] if isinstance(value, Mapping) and "fingerprint" in value else value


def _short(value: Any) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 60 else text[:57] + "..."
