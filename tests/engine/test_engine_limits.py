"""Settings that are refused, and budgets that end a search."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from autoreg.engine import (
    Budget,
    Engine,
    EventLog,
    Result,
)
from autoreg.errors import InputError
from autoreg.space import digest
from tests.engine.problems import (
    build_engine,
    next_ask,
    run,
    toy_error,
    toy_space,
)
from tests.engine.toy_engine import finish, small, toy


def test_wrong_arguments_are_refused_at_once() -> None:
    with pytest.raises(InputError, match="'accuracy' is not among the objectives"):
        toy(quality="accuracy")
    with pytest.raises(InputError, match=r"sampler 'tpee' is not known.*Did you mean 'tpe'"):
        toy(sampler="tpee")
    with pytest.raises(InputError, match="trials = -1"):
        toy(-1)
    with pytest.raises(InputError, match="direction 'down'"):
        build_engine(toy_space(), {"error": "down"}, quality="error", identity=digest)
    with pytest.raises(InputError, match="a grid needs at most"):
        toy(sampler="grid")


def test_trials_end_the_asking() -> None:
    engine = toy(5, sampler="random")
    assert len(run(engine)) == 5
    assert engine.stop_reason == "all 5 trials were asked"


def test_minutes_end_the_asking_and_pauses_do_not_count(tmp_path: Path) -> None:
    now = [100.0]
    path = tmp_path / "events.jsonl"
    engine = small(None, budget=Budget(minutes=1), log=EventLog(path), clock=lambda: now[0])
    finish(engine)
    now[0] += 40
    finish(engine)
    engine.log.close()
    now[0] += 10_000  # a night without power
    again = small(None, budget=Budget(minutes=1), log=EventLog(path), clock=lambda: now[0])
    assert again.seconds() == pytest.approx(40)
    assert finish(again) is not None
    now[0] += 21
    assert again.ask() is None
    assert "1 minutes are over" in str(again.stop_reason)
    again.log.close()


def test_starters_end_after_a_fifth_of_the_minutes_but_two_are_asked() -> None:
    now, rng = [0.0], np.random.default_rng(0)
    starters = [(f"baseline {k}", toy_space().sample(rng)) for k in range(6)]
    engine = toy(None, budget=Budget(minutes=1), starters=starters, clock=lambda: now[0])
    sources = []
    for _ in range(6):
        sources.append(engine.state.records[finish_one(engine)].source)
        now[0] += 5
    assert sources[:3] == ["baseline 0", "baseline 1", "baseline 2"], "after 0, 5 and 10 of 60 seconds"
    assert not any(source.startswith("baseline") for source in sources[3:])
    slow = toy(None, budget=Budget(minutes=1), starters=starters, clock=lambda: now[0])
    first = finish_one(slow)
    now[0] += 50
    assert [slow.state.records[n].source for n in (first, finish_one(slow))] == ["baseline 0", "baseline 1"]


def finish_one(engine: Engine) -> int:
    ask = next_ask(engine)
    engine.tell(ask.number, Result("COMPLETE", {"error": toy_error(ask.config)}))
    return ask.number


def test_epochs_end_the_asking() -> None:
    engine = toy(None, budget=Budget(epochs=25), sampler="random", prune=False)
    assert len(run(engine)) == 3  # 9 epochs each
    assert engine.stop_reason == "27 of 25 epochs were run"


def test_time_left_is_guessed_from_what_is_over() -> None:
    now = [0.0]
    engine = small(5, clock=lambda: now[0], sampler="random")
    assert engine.summary()["time_left"] is None
    for _ in range(2):
        now[0] += 10.0
        finish(engine)
    assert engine.summary()["time_left"] == pytest.approx(30.0)
