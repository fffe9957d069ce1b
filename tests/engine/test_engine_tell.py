"""Results: their states, metrics and reasons, and what is refused."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from autoreg.engine import (
    EventLog,
    Result,
    read_events,
)
from autoreg.errors import InputError
from autoreg.trial_info import TrialInfo
from tests.engine.problems import (
    next_ask,
    toy_costs,
)
from tests.engine.toy_engine import toy


def test_states_metrics_and_reasons_are_kept() -> None:
    engine = toy()
    asks = [next_ask(engine) for _ in range(4)]
    engine.tell(asks[0].number, Result("COMPLETE", {"error": 0.2, "depth": 3.0}, TrialInfo(epochs_run=4, notes=["x"])))
    engine.tell(asks[1].number, Result("PRUNED", {"error": 0.4}, TrialInfo(epochs_run=1), "stopped at step 1"))
    engine.tell(asks[2].number, Result("FAIL", reason="out of memory"))
    records = engine.trials()
    assert [r.state for r in records] == ["COMPLETE", "PRUNED", "FAIL", "RUNNING"]
    assert records[0].metrics == {"error": 0.2, "depth": 3.0, "flops": records[0].costs["flops"]}
    assert records[1].metrics["error"] == 0.4
    assert (records[1].reason, records[2].reason) == ("stopped at step 1", "out of memory")
    assert engine.front() == [0]
    records.clear()
    assert len(engine.trials()) == 4, "the list is a new one each time"
    summary = engine.summary()
    assert {k: summary[k] for k in ("asked", "done", "stopped", "failed", "running", "front", "epochs")} == {
        "asked": 4,
        "done": 1,
        "stopped": 1,
        "failed": 1,
        "running": 1,
        "front": 1,
        "epochs": 5.0,
    }


@pytest.mark.parametrize(
    ("metrics", "reason"),
    [
        ({}, "objective 'error' is missing from the result; it has: flops"),
        ({"error": math.nan}, "objective 'error' is nan, which is no finite number"),
        ({"error": 0.1, "flops": math.inf}, "objective 'flops' is inf"),
        ({"error": "bad"}, "metric 'error' is 'bad'"),
    ],
)
def test_a_result_without_finite_objectives_is_a_failure(metrics: dict[str, Any], reason: str) -> None:
    engine = toy()
    ask = next_ask(engine)
    assert engine.tell(ask.number, Result("COMPLETE", metrics)) == "FAIL"
    assert reason in (engine.trials()[0].reason or "")
    assert all(math.isfinite(v) for v in engine.trials()[0].metrics.values())
    assert engine.front() == []


def test_other_metrics_that_are_not_finite_do_no_harm(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "events.jsonl")
    engine = toy(log=log)
    ask = next_ask(engine)
    assert engine.tell(ask.number, Result("COMPLETE", {"error": 0.1, "spread": math.nan})) == "COMPLETE"
    assert "spread" not in engine.trials()[0].metrics
    assert read_events(tmp_path / "events.jsonl")[-1]["nonfinite"] == {"metrics.spread": "nan"}


def test_known_costs_are_filled_in_and_a_measured_value_wins() -> None:
    engine = toy()
    first, second = next_ask(engine), next_ask(engine)
    engine.tell(first.number, Result("COMPLETE", {"error": 0.2}))
    engine.tell(second.number, Result("COMPLETE", {"error": 0.2, "flops": 7.0}))
    records = engine.trials()
    assert records[0].metrics["flops"] == toy_costs(first.config)["flops"]
    assert records[1].metrics["flops"] == 7.0


def test_info_that_is_no_json_does_not_lose_the_trial() -> None:
    engine = toy()
    ask = next_ask(engine)
    result = Result("COMPLETE", {"error": 0.2}, TrialInfo(user={"model": object()}))
    assert engine.tell(ask.number, result) == "COMPLETE"
    assert "could not be kept" in engine.trials()[0].info.notes[0]


def test_only_running_trials_take_results() -> None:
    engine = toy()
    ask = next_ask(engine)
    engine.tell(ask.number, Result("COMPLETE", {"error": 0.2}))
    for call in (lambda: engine.tell(0, Result("FAIL")), lambda: engine.report(0, 1, {"error": 0.1})):
        with pytest.raises(InputError, match="trial 0 has ended as COMPLETE"):
            call()
    with pytest.raises(InputError, match="there is no trial 5; 1 were asked"):
        engine.tell(5, Result("FAIL"))
