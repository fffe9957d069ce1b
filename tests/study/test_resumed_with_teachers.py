"""A study whose recipes learn from dense trainings, killed and resumed: the same asks and the same results."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from autoreg.engine.log.records import Record
from autoreg.execution import session
from autoreg.space import StudySpec
from autoreg.study.options import RunOptions
from autoreg.study.task_study import TaskStudy

STUDY = """\
name: taught
task: {tabular: {data: wine, blocks: 1}}
space:
  teacher: [none, {kd: {of: [dense, ensemble], members: 3, weight: {uniform: [0.3, 1.0]}}}]
  network: {width: {uniform: [0.2, 1.0]}}
  training: {lr: {log: [1e-2, 1e-1]}, epochs: [1, 2], finetune_epochs: 0}
objectives: {error: min, flops: min}
budget: {trials: 11}
seed: 3
"""


@pytest.fixture
def _workers() -> Iterator[None]:
    """The same for all runs of a test."""
    with session(workers=1):
        yield


def records(folder: Path, store: Path, *, resume: bool = False) -> list[Record]:
    return TaskStudy(StudySpec.parse(STUDY), RunOptions(folder, store=store, resume=resume)).run().engine.trials()


def facts(record: Record) -> dict[str, Any]:
    """What does not depend on the clock, nor on what was in the store."""
    names = ("config", "seed", "source", "costs", "metrics", "state", "feasible", "prediction", "reevaluation_of")
    return {name: getattr(record, name) for name in names} | {"done": record.info.phase_fractions}


@pytest.mark.usefixtures("_workers")
def test_asks_and_results_are_those_of_a_study_that_was_never_killed(tmp_path: Path) -> None:
    """The log is cut while a trial that learns from an ensemble runs; the store then has all phases, or none."""
    whole = records(tmp_path / "whole", tmp_path / "store")
    expected = [facts(record) for record in whole]
    taught = [r.number for r in whole if "ensemble" in json.dumps(r.config["teacher"])]
    assert len(taught) > 2
    assert whole[-1].prediction is not None
    lines = (tmp_path / "whole" / "events.jsonl").read_text().splitlines(keepends=True)
    asked = {e["trial"]: n for n, e in enumerate(map(json.loads, lines)) if e["event"] == "ask"}
    for name, number, store in (("kept", taught[1], "store"), ("lost", taught[-1], "other store")):
        folder = tmp_path / name
        folder.mkdir()
        shutil.copy(tmp_path / "whole" / "study.json", folder)
        (folder / "events.jsonl").write_text("".join(lines[: asked[number] + 1]))
        again = records(folder, tmp_path / store, resume=True)
        assert [facts(record) for record in again] == expected
