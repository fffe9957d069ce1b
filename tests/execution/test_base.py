"""One trial, whatever happens in it."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
from optuna import TrialPruned

from autoreg.engine import Ask, Result
from autoreg.errors import InputError
from autoreg.execution import StopTrial, run, run_one
from autoreg.execution.base import Progress, failure, pack, plain
from autoreg.execution.stepwise import ReportedStep, StepwiseTrial
from autoreg.trial_info import TrialInfo
from tests.execution.objectives import curve, make_engine, simple

ASK = Ask(4, {"x": 0.5, "bits": 4, "regularizer": "none"}, 11)


def test_numbers_of_numpy_and_torch_become_floats() -> None:
    torch = pytest.importorskip("torch")
    result = run_one(lambda c, t: {"a": np.float32(0.5), "b": torch.tensor(2.0), "c": True, "d": 3}, ASK, None)
    assert result.state == "COMPLETE"
    assert result.metrics == {"a": 0.5, "b": 2.0, "c": 1.0, "d": 3.0}
    assert all(type(value) is float for value in result.metrics.values())


def test_the_objective_gets_number_seed_and_a_config_of_its_own() -> None:
    def objective(config: dict[str, Any], trial: Any) -> dict[str, Any]:
        config["x"] = 99
        return {"number": trial.number, "seed": trial.seed}

    assert run_one(objective, ASK, None).metrics == {"number": 4.0, "seed": 11.0}
    assert ASK.config["x"] == 0.5


def test_an_exception_fails_the_trial_with_its_first_line_and_the_end_of_its_traceback() -> None:
    def objective(config: dict[str, Any], trial: Any) -> dict[str, Any]:
        raise ValueError("the kernel is larger than the image\nmore")

    result = run_one(objective, ASK, None)
    assert (result.state, result.metrics) == ("FAIL", {})
    assert result.reason == "ValueError: the kernel is larger than the image"
    assert "in objective" in str(result.info.traceback)
    assert "run_one" not in str(result.info.traceback)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (MemoryError(), "out of memory (MemoryError)"),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried 9 bytes"),
            "out of memory (RuntimeError: DefaultCPUAllocator: can't allocate memory: you tried 9 bytes)",
        ),
        (type("OutOfMemoryError", (RuntimeError,), {})("CUDA"), "out of memory (OutOfMemoryError: CUDA)"),
        (KeyError("x"), "KeyError: 'x'"),
        (ValueError(), "ValueError"),
    ],
)
def test_a_failure_is_named_in_one_line(error: BaseException, message: str) -> None:
    assert failure(error) == message


def test_sys_exit_in_an_objective_fails_its_trial_only() -> None:
    def objective(config: dict[str, Any], trial: Any) -> dict[str, Any]:
        raise SystemExit("no data")

    assert run_one(objective, ASK, None).reason == "SystemExit: no data"


def test_ctrl_c_is_no_failure_of_the_trial() -> None:
    def objective(config: dict[str, Any], trial: Any) -> dict[str, Any]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_one(objective, ASK, None)


@pytest.mark.parametrize("returned", [None, 0.5, {"error": "small"}, {"error": None}])
def test_what_is_no_metric_fails_the_trial(returned: Any) -> None:
    result = run_one(lambda c, t: returned, ASK, None)
    assert result.state == "FAIL"
    assert "metric" in str(result.reason)


def test_a_trial_that_obeys_a_stop_is_pruned_with_what_it_returned() -> None:
    result = run_one(curve, ASK, lambda step, metrics: "stop" if step == 3 else "continue")
    assert (result.state, result.reason) == ("PRUNED", "stopped at step 3")
    assert result.metrics["after"] == 3.0
    assert result.info.epochs_run == 3


def test_a_trial_that_never_asks_whether_to_stop_is_complete() -> None:
    def objective(config: dict[str, Any], trial: Any) -> dict[str, Any]:
        trial.report(1, {"error": 0.5})
        return {"error": 0.1}

    assert run_one(objective, ASK, lambda step, metrics: "stop").state == "COMPLETE"


@pytest.mark.parametrize("kind", [StopTrial, TrialPruned])
def test_raising_to_stop_keeps_the_last_report_as_partial_metrics(kind: type[Exception]) -> None:
    def objective(config: dict[str, Any], trial: Any) -> dict[str, Any]:
        trial.report(2, {"error": 0.25})
        raise kind

    result = run_one(objective, ASK, lambda step, metrics: "stop")
    assert (result.state, result.metrics, result.reason) == ("PRUNED", {"error": 0.25}, "stopped at step 2")


def test_info_is_plain_data_and_says_what_was_lost() -> None:
    user: dict[Any, Any] = {"a": np.int64(3), "b": object(), 5: [np.float32(0.5)], "notes": "mine"}
    found = plain(TrialInfo(epochs_run=np.float64(2.5), notes=["x"], user=user))
    lost = "info.user['b'] was left out: it holds something that is no JSON data"
    assert found == TrialInfo(epochs_run=2.5, notes=["x", lost], user={"a": 3, "5": [0.5], "notes": "mine"})
    assert type(found.epochs_run) is float


def test_a_field_that_does_not_hold_what_it_is_for_is_left_out() -> None:
    """The fields are the objective's to fill, and a worker must not end for what it puts there."""
    found = plain(TrialInfo(epochs_run="many", layers=[object()], seconds=1.0))  # type: ignore[arg-type, list-item]
    lost = "info['layers'] was left out: it holds something that is no JSON data"
    assert found == TrialInfo(seconds=1.0, notes=[lost])


def test_an_objective_that_writes_as_into_a_mapping_is_told_in_its_reason() -> None:
    """What was free once is refused, and the trial says by what."""

    def objective(config: dict[str, Any], trial: Any) -> dict[str, Any]:
        trial.info["mine"] = 1
        return {}

    result = run_one(objective, ASK, None)
    assert result.state == "FAIL"
    assert "TrialInfo" in str(result.reason)


def test_seconds_are_noted_unless_the_objective_did() -> None:
    def objective(config: dict[str, Any], trial: Any) -> dict[str, Any]:
        trial.info.seconds = 77
        return {}

    seconds = run_one(simple, ASK, None).info.seconds
    assert seconds is not None
    assert 0 <= seconds < 5
    assert run_one(objective, ASK, None).info.seconds == 77


def test_an_objective_that_cannot_be_pickled_is_refused_with_advice() -> None:
    lock = threading.Lock()

    def objective(config: dict[str, Any], trial: Any) -> dict[str, Any]:
        with lock:
            return {}

    with pytest.raises(
        InputError, match=r"cannot be sent to a worker process \(TypeError: .*lock.*inside the objective"
    ):
        pack(objective)


def test_a_stepwise_trial_is_resumed_from_report_to_report() -> None:
    trial = StepwiseTrial(curve, ASK)
    messages = [trial.resume(), trial.resume("continue"), trial.resume("stop")]
    assert [m.step for m in messages[:2] if isinstance(m, ReportedStep)] == [1, 2]
    assert isinstance(messages[2], Result)
    assert (messages[2].state, messages[2].reason) == ("PRUNED", "stopped at step 2")


def test_an_abandoned_trial_ends_its_thread() -> None:
    before = threading.active_count()
    trial = StepwiseTrial(curve, ASK)
    trial.resume()
    assert threading.active_count() == before + 1
    trial.abandon()
    assert threading.active_count() == before


def test_progress_is_called_seldom_and_at_the_end() -> None:
    calls: list[str] = []
    progress = Progress("engine", calls.append, seconds=60)
    for _ in range(5):
        progress()
    assert calls == ["engine"]
    progress(now=True)
    assert calls == ["engine", "engine"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"executor": "lokal"}, r"executor: found 'lokal'; allowed are local, ray. Did you mean 'local'\?"),
        ({"worker": 2}, r"executor 'local': it has no option 'worker'.*Did you mean 'workers'\?"),
        ({"workers": 0}, "workers: found 0; allowed are whole numbers from 1"),
        ({"threads_per_trial": 1.5}, "threads_per_trial: found 1.5"),
        ({"workers": 2, "in_process": True}, "one trial at a time"),
    ],
)
def test_a_wrong_option_is_refused_before_anything_runs(options: dict[str, Any], message: str) -> None:
    engine = make_engine(3)
    with pytest.raises(InputError, match=message):
        run(engine, simple, **options)
    assert engine.calls == []
