"""What objectives see: reports, stops, and values that are computed once."""

from __future__ import annotations

import numpy as np
import pytest

from autoreg.engine.log.trial import Result, Trial
from autoreg.errors import InputError


def test_reports_reach_the_engine_as_floats() -> None:
    sent: list[tuple[int, dict[str, float]]] = []

    def send(step: int, metrics: dict[str, float]) -> str:
        sent.append((step, metrics))
        return "continue"

    trial = Trial(3, 7, send)
    trial.report(1, {"error": np.float32(0.5)})
    assert sent == [(1, {"error": 0.5})]
    assert not trial.should_stop()


def test_whoever_obeys_a_stop_is_pruned_with_what_it_returns() -> None:
    trial = Trial(send=lambda step, metrics: "stop" if step == 2 else "continue")
    trial.report(1, {"error": 0.9})
    assert not trial.should_stop()
    trial.report(2, {"error": 0.8})
    assert trial.should_stop()
    assert trial.outcome({"error": 0.8}) == Result("PRUNED", {"error": 0.8}, reason="stopped at step 2")
    assert trial.outcome(None).metrics == {"error": 0.8}, "without a return value its last report counts"


def test_whoever_never_looks_is_complete() -> None:
    """An objective that reports but does not ask whether to stop has run to its end."""
    trial = Trial(send=lambda step, metrics: "stop")
    trial.report(1, {"error": 0.9})
    assert trial.outcome({"error": 0.1}).state == "COMPLETE"


def test_an_objective_that_returns_no_mapping_has_failed() -> None:
    result = Trial().outcome(0.3)
    assert result.state == "FAIL"
    assert "returned float" in str(result.reason)


@pytest.mark.parametrize(
    ("first", "second", "word"), [(2, 2, "must grow"), (2, 1, "must grow"), (-1, -1, "at least 0")]
)
def test_steps_grow_from_zero(first: int, second: int, word: str) -> None:
    trial = Trial()
    if first >= 0:
        trial.report(first, {"error": 1.0})
    with pytest.raises(InputError, match=word):
        trial.report(second, {"error": 1.0})


def test_a_metric_is_one_number() -> None:
    with pytest.raises(InputError, match=r"step 1: metric 'error' is 'low'"):
        Trial().report(1, {"error": "low"})  # type: ignore[dict-item]


def test_a_result_has_a_known_state() -> None:
    with pytest.raises(InputError, match="COMPLETE, PRUNED, FAIL"):
        Result("DONE")  # type: ignore[arg-type]
