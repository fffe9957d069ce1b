"""Where the time of trials goes: a function whose time is known, and a small study."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from benchmarks.stack_sampler import StackSampler
from benchmarks.trial_time import TRAINING, main, shares

STUDY = """\
name: tiny
task: {tabular: {data: wine, blocks: 1}}
space: {training: {lr: {log: [1e-2, 1e-1]}, epochs: 30, finetune_epochs: 0}}
objectives: {error: min, bytes: min}
"""


def work(seconds: float) -> None:
    """Use the processor for a time of its own clock."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def counted() -> None:
    work(0.2)


def test_time_is_that_of_the_innermost_function_that_is_named(tmp_path: Path) -> None:
    own = "benchmarks/test_trial_time.py"
    sampler = StackSampler({"counted": (f"{own}:counted",)}, tmp_path, within=f"{own}:inside")

    def inside() -> None:
        counted()
        work(0.1)

    inside()
    counted()
    sampler.write()
    (file,) = tmp_path.glob("*.json")
    seconds = json.loads(file.read_text())["processor"]
    expected = {"counted": 0.2, "other": 0.1, "outside: counted": 0.2}
    assert {part: seconds[part] for part in expected} == pytest.approx(expected, abs=0.05)


def test_a_share_is_of_what_trials_do() -> None:
    parts = {TRAINING: 3.0, "store": 1.0, "process start": 9.0, "waiting for the driver": 9.0, "outside: other": 9.0}
    found = {"workers' seconds": {"wall": parts, "processor": {"store": 1.0}}}
    assert shares(found) == {"wall": 0.75, "processor": 0.0}


def test_a_study_is_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "tiny.yaml").write_text(STUDY)
    main([str(tmp_path / "tiny.yaml"), "--trials", "4", "--workers", "1", "--json", str(tmp_path / "figures.json")])
    (run,) = json.loads((tmp_path / "figures.json").read_text())
    assert (run["trials"], run["workers"]) == (4, 1)
    worker = run["workers' seconds"]["processor"]
    assert worker[TRAINING] > 0
    assert 0 < run["share that trains"]["processor"] < 1
    assert sum(run["driver's seconds"]["wall"].values()) >= run["seconds"]["search"]
    assert "training's share of the trials" in capsys.readouterr().out
