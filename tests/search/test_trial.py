"""What objectives see: reports, stops, and values that are computed once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autoreg.errors import InputError
from autoreg.search.trial import Result, Trial, _memory, cache_key


@pytest.fixture(autouse=True)
def _fresh_memory() -> None:
    _memory.clear()


def test_reports_reach_the_engine_as_floats() -> None:
    heard: list[tuple[int, dict[str, float]]] = []

    def send(step: int, metrics: dict[str, float]) -> str:
        heard.append((step, metrics))
        return "continue"

    trial = Trial(3, 7, send)
    trial.report(1, {"error": np.float32(0.5)})
    assert heard == [(1, {"error": 0.5})]
    assert not trial.should_stop()


def test_whoever_obeys_a_stop_is_pruned_with_what_it_returns() -> None:
    trial = Trial(send=lambda step, metrics: "stop" if step == 2 else "continue")
    trial.report(1, {"error": 0.9})
    assert not trial.should_stop()
    trial.report(2, {"error": 0.8})
    assert trial.should_stop()
    assert trial.outcome({"error": 0.8}) == Result("PRUNED", {"error": 0.8}, {}, "stopped at step 2")
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
        Trial().report(1, {"error": "low"})


def test_a_cached_value_is_computed_once(tmp_path: Path) -> None:
    calls: list[int] = []

    def work() -> dict[str, list[float]]:
        calls.append(1)
        return {"features": [1.0, 2.5]}

    for _ in range(2):
        assert Trial(cache=tmp_path).cached(["features", 3], work) == {"features": [1.0, 2.5]}
    _memory.clear()  # another process
    assert Trial(cache=tmp_path).cached(["features", 3], work) == {"features": [1.0, 2.5]}
    assert calls == [1]
    Trial(cache=tmp_path).cached(["features", 4], work)
    assert calls == [1, 1]


@pytest.mark.parametrize("value", [(1, 2), {1: "integer key"}, np.arange(3), float("nan")])
def test_what_json_would_change_stays_in_memory(tmp_path: Path, value: Any) -> None:
    assert Trial(cache=tmp_path).cached("k", lambda: value) is value
    assert Trial(cache=tmp_path).cached("k", lambda: "another") is value
    assert list(tmp_path.iterdir()) == []


def test_a_torn_cache_file_is_computed_again(tmp_path: Path) -> None:
    (tmp_path / f"{cache_key('k')}.json").write_text('{"value": [1,')
    assert Trial(cache=tmp_path).cached("k", lambda: 5) == 5
    _memory.clear()
    assert Trial(cache=tmp_path).cached("k", lambda: 6) == 5


def test_a_cache_that_cannot_be_written_costs_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert Trial(cache=tmp_path / "file" / "below").cached("k", lambda: 5) == 5


def test_keys_differ_where_json_differs_and_not_by_order() -> None:
    assert cache_key({"a": 1, "b": 2}) == cache_key({"b": 2, "a": 1})
    assert len({cache_key(k) for k in ([1], [2], "1", 1, 1.5, True, ["a", "b"], ["a-b"])}) == 8
    with pytest.raises(InputError, match="must be JSON data"):
        cache_key(object())


def test_a_result_has_a_known_state() -> None:
    with pytest.raises(InputError, match="COMPLETE, PRUNED, FAIL"):
        Result("DONE")  # type: ignore[arg-type]
