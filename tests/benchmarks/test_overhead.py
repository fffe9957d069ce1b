"""The benchmark of the engine's own cost, at sizes that say nothing about cost: what it runs and what it writes."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from autoreg.space import Space
from benchmarks import overhead


def test_it_writes_the_figures_of_every_arm(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "overhead.json"
    sizes = ["--trials", "16", "24", "--rounds", "2", "--candidates", "50", "--ray", "0"]
    overhead.main([*sizes, "--json", str(file)])
    found = json.loads(file.read_text())
    times = found["ms to ask and tell"]
    assert list(times) == ["16", "24"]
    for row in times.values():
        assert list(row) == ["ours", "ours with phase costs", "bare Optuna"]
        assert all(arm["ask_and_tell_ms"] > 0 for arm in row.values())
        for arm in (row["ours"], row["ours with phase costs"]):
            assert arm["ask_and_tell_ms"] >= max(arm["ask_ms"], arm["tell_ms"]) * 0.99
            assert arm["screened"] > 0, "the surrogate chooses"
    assert len(found["candidates a second"]) == 3
    assert len(re.findall(r"^\d+ trials, ours", capsys.readouterr().out, re.M)) == 4


def test_bars_are_on_asking_and_telling_and_not_on_optuna(capsys: pytest.CaptureFixture[str]) -> None:
    assert overhead.judged(1000, "ours", {"ask_and_tell_ms": 40.0, "learning_ms_a_trial": 9.9})["met"]
    assert not overhead.judged(
        10_000, "ours with phase costs", {"ask_and_tell_ms": 140.0, "learning_ms_a_trial": 10.0}
    )["met"]
    assert [line.split(", ")[-1] for line in capsys.readouterr().out.splitlines()] == [
        "bar 50 ms met",
        "bar 150 ms missed",
    ]
    assert "met" not in overhead.judged(1000, "bare Optuna", {"ask_and_tell_ms": 1.0, "learning_ms_a_trial": 0.0})
    assert "met" not in overhead.judged(100, "ours", {"ask_and_tell_ms": 1.0, "learning_ms_a_trial": 0.0})


def test_the_price_is_shared_by_configs_of_one_training() -> None:
    space, rng = Space.from_dict(overhead.SPACE), np.random.default_rng(0)
    one, other = space.sample(rng), space.sample(rng)
    fewer = {**one, "bits": 2 if one["bits"] != 2 else 4}
    thin = {**one, "amount": 0.123}
    shared = [
        sum(a == b for a, b in zip(overhead.phase_costs(one), overhead.phase_costs(config), strict=True))
        for config in (one, fewer, thin, other)
    ]
    assert shared == [3, 2, 1, 0]
    assert sum(epochs for _, epochs in overhead.phase_costs(one)) == 12
