"""The log: nothing is lost at a kill, and a log of another study is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autoreg.engine import (
    Engine,
    EventLog,
    Halving,
    Result,
    read_events,
    read_state,
)
from autoreg.engine.log.records import Record
from autoreg.errors import AutoregError, StudyError
from tests.engine.problems import (
    keys,
    next_ask,
    run,
    small_space,
)
from tests.engine.toy_engine import toy


def stripped(events: list[dict[str, Any]]) -> list[Record]:
    """Records without times, resumptions, and reports that were made void."""
    state = read_state(events)
    return [replace(r, asked_at=0.0, ended_at=0.0, superseded_reports={}) for r in state.records]


@pytest.mark.parametrize(("sampler", "curve"), [("auto", True), ("auto", False), ("nsga2", True), ("random", True)])
def test_killed_and_resumed_equals_never_killed(tmp_path: Path, sampler: str, curve: bool) -> None:
    """The log is cut at many places, in the middle of lines too; what follows is the same every time."""
    path = tmp_path / "events.jsonl"
    halving = Halving(audit=0.2)

    def make(log: EventLog) -> Engine:
        return toy(44, log=log, sampler=sampler, prune=halving, normalizer=None, seed=4)

    with EventLog(path) as log:
        engine = make(log)
        run(engine, curve=curve)
        expected, figures = stripped(log.events), (engine.front(), engine.hypervolume(), engine.history())
    whole = path.read_bytes()
    assert ("PRUNED" in {r.state for r in expected}) == curve
    assert ("screened" in {r.source for r in expected}) or sampler != "auto" or curve
    rng = np.random.default_rng(0)
    ends = np.cumsum([len(line) + 1 for line in whole.split(b"\n")[:-1]])
    many = 6 if curve else 2
    inside = rng.integers(len(whole), size=many)
    scale = whole.rindex(b"\n", 0, whole.index(b'"event":"scale"')) + 1  # between a tell and what follows from it
    cuts = sorted({0, 1, scale} | {int(c) for c in (*rng.choice(ends, many), *inside)})
    for cut in cuts:
        path.write_bytes(whole[:cut])
        with EventLog(path) as log:
            resumed = make(log)
            assert (resumed.hypervolume() is None) == (cut < scale)
            run(resumed, curve=curve)
            assert stripped(log.events) == expected, f"cut at byte {cut}"
            assert (resumed.front(), resumed.hypervolume(), resumed.history()) == figures


def test_killed_again_and_again_equals_never_killed(tmp_path: Path) -> None:
    """A few events at a time, each time by a new engine."""
    expected = keys(run(toy(26, prune=Halving()), curve=True))
    path = tmp_path / "events.jsonl"
    rng = np.random.default_rng(1)
    for _ in range(400):
        with EventLog(path) as log:
            engine = toy(26, log=log, prune=Halving())
            run(engine, limit=int(rng.integers(1, 3)), curve=True)
            done = engine.ask()
            if done is None:
                break
            engine.report(done.number, 1, {"error": 0.0})  # and then the power fails
    else:
        pytest.fail("it never ended")
    state = read_state(read_events(path))
    assert keys([r.config for r in state.records]) == expected


def test_interrupted_trials_come_first_with_the_same_config_and_seed(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    with EventLog(path) as log:
        engine = toy(10, log=log, seed=7)
        asks = [next_ask(engine) for _ in range(3)]
        engine.tell(asks[1].number, Result("COMPLETE", {"error": 0.3}))
        engine.report(asks[0].number, 1, {"error": 0.9})
    with EventLog(path) as log:
        engine = toy(10, log=log, seed=7)
        assert engine.state.records[0].reports == [], "what an interrupted trial reported is void"
        again = [next_ask(engine), next_ask(engine)]
        assert [(a.number, a.config, a.seed, a.again) for a in again] == [
            (asks[k].number, asks[k].config, 7, True) for k in (0, 2)
        ]
        fresh = next_ask(engine)
        assert (fresh.number, fresh.again) == (3, False)
        assert engine.report(0, 1, {"error": 0.9}) == "continue"


def test_a_log_of_another_study_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    with EventLog(path) as log:
        run(toy(3, log=log))
    for other, name in (
        ({"seed": 1}, "seed = 0"),
        ({"sampler": "random"}, "sampler = 'auto'"),
        ({"constraints": ("error <= 1",)}, "constraints"),
    ):
        with EventLog(path) as log, pytest.raises(StudyError, match=name):
            toy(3, log=log, **other)
    with EventLog(path) as log, pytest.raises(StudyError, match="digest"):
        toy(3, log=log, space=small_space())


def test_the_budget_may_grow_on_resuming(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    with EventLog(path) as log:
        run(toy(5, log=log))
    with EventLog(path) as log:
        assert len(run(toy(8, log=log))) == 3


def test_the_log_is_what_the_contract_says(tmp_path: Path) -> None:
    """Readers of a study rely on these keys."""
    path = tmp_path / "events.jsonl"
    with EventLog(path) as log:
        engine = toy(2, log=log)
        run(engine, curve=True)
    events = [json.loads(line) for line in path.read_text().splitlines()]
    assert events[0]["event"] == "start"
    ask = next(e for e in events if e["event"] == "ask")
    assert {"trial", "config", "source", "seed", "costs", "prediction"} <= ask.keys()
    report = next(e for e in events if e["event"] == "report")
    assert {"trial", "step", "metrics", "decision"} <= report.keys()
    tell = next(e for e in events if e["event"] == "tell")
    assert {"trial", "state", "metrics", "info", "reason", "feasible"} <= tell.keys()


def test_events_of_later_versions_are_passed_over() -> None:
    engine = toy(3)
    run(engine)
    events = [*engine.log.events, {"event": "replicate", "trial": 0, "seed": 1}]
    assert len(read_state(events).records) == 3
    with pytest.raises(StudyError, match="do not fit together"):
        read_state([{"event": "tell", "trial": 4, "state": "FAIL", "metrics": {}}])


def test_a_full_disk_loses_one_event_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The result that could not be written can be recorded again once there is room."""

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with EventLog(tmp_path / "events.jsonl") as log:
        engine = toy(4, log=log)
        ask = next_ask(engine)
        monkeypatch.setattr("os.write", full)
        with pytest.raises(AutoregError, match="No space left"):
            engine.tell(ask.number, Result("COMPLETE", {"error": 0.2}))
        with pytest.raises(AutoregError, match="No space left"):
            engine.ask()
        assert engine.summary()["asked"] == engine.summary()["running"] == 1
        monkeypatch.undo()
        assert engine.tell(ask.number, Result("COMPLETE", {"error": 0.2})) == "COMPLETE"
        assert len(run(engine)) == 3
    assert [r.state for r in read_state(read_events(tmp_path / "events.jsonl")).records] == ["COMPLETE"] * 4
