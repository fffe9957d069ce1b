"""The local executor, with real processes and the real engine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from autoreg.engine import Result, read_events
from autoreg.errors import InputError
from autoreg.execution import WorkerError, run, session
from tests.execution.gates import Gate, wait_at, wait_until_gone
from tests.execution.objectives import (
    Dies,
    ExitsOnLoad,
    Hangs,
    RaisesOnLoad,
    Recorded,
    alive,
    curve,
    halving,
    make_engine,
    outcomes,
    simple,
)

HERE = Path(__file__).parent
MESSAGES = {
    "kill": "worker died with signal 9 (SIGKILL; the system may have run out of memory)",
    "segfault": "worker died with signal 11 (SIGSEGV)",
    "exit": "worker ended with exit code 7",
    "child": "worker died with signal 9 (SIGKILL; the system may have run out of memory)",
    "raise": "RuntimeError: the 4th layer is too small",
    "memory": "out of memory (MemoryError)",
    "sys.exit": "SystemExit: 2",
}


def test_one_worker_asks_reports_tells_in_this_order() -> None:
    engine = make_engine(3)
    run(engine, curve)
    expected = [(what, n) for n in range(3) for what in ("ask", *["report"] * 9, "tell")]
    assert engine.calls == [*expected, ("ask", -1)]


def test_a_worker_process_gives_the_same_trials_as_this_process() -> None:
    here, there = make_engine(12, prune=halving()), make_engine(12, prune=halving())
    run(here, curve, in_process=True)
    run(there, curve)
    assert outcomes(there) == outcomes(here)
    assert len(outcomes(here)) == 12


def test_decisions_reach_the_objective_and_partial_results_come_back() -> None:
    engine = make_engine(25, prune=halving())
    run(engine, curve)
    stopped = [record for record in engine.trials() if record.state == "PRUNED"]
    assert 5 < len(stopped) < 25
    for record in stopped:
        assert record.metrics["after"] == record.epochs_run < 9
        assert record.reason == f"stopped at step {record.epochs_run:.0f}"


@pytest.mark.parametrize("how", list(MESSAGES))
def test_a_trial_that_ends_badly_fails_and_the_search_goes_on(how: str) -> None:
    engine = make_engine(5)
    run(engine, Dies(2, how))
    states = [record.state for record in engine.trials()]
    assert states == ["COMPLETE", "COMPLETE", "FAIL", "COMPLETE", "COMPLETE"]
    assert engine.trials()[2].reason == MESSAGES[how]


def test_a_worker_killed_from_outside_fails_its_trial_and_is_replaced() -> None:
    engine = make_engine(4)
    with Gate(1, lambda arrived: os.kill(int(arrived[1]), signal.SIGKILL)) as gate:
        address = gate.address

        def objective(config: dict[str, Any], trial: Any) -> dict[str, Any]:
            if trial.number == 1:
                wait_at(address, 1, str(os.getpid()))
            return simple(config, trial)

        run(engine, objective)
    assert [record.state for record in engine.trials()] == ["COMPLETE", "FAIL", "COMPLETE", "COMPLETE"]


def test_two_workers_run_at_the_same_time() -> None:
    engine = make_engine(6)
    with Gate(2) as gate:
        address = gate.address

        def objective(config: dict[str, Any], trial: Any) -> dict[str, Any]:
            wait_at(address, trial.number)
            return {**simple(config, trial), "pid": os.getpid()}

        run(engine, objective, workers=2)
    assert {record.state for record in engine.trials()} == {"COMPLETE"}
    assert len({record.metrics["pid"] for record in engine.trials()}) == 2


def test_workers_are_gone_when_the_search_is_over() -> None:
    engine = make_engine(4)
    run(engine, lambda config, trial: {**simple(config, trial), "pid": os.getpid()}, workers=2)
    pids = {int(record.metrics["pid"]) for record in engine.trials()}
    assert pids
    assert not any(alive(pid) for pid in pids)


def test_workers_of_a_session_stay_for_the_next_run_and_its_objective() -> None:
    """Another number of workers gets processes of its own; all are gone at the end."""

    def numbered(factor: int) -> Callable[[dict[str, Any], Any], dict[str, Any]]:
        return lambda config, trial: {**simple(config, trial), "pid": os.getpid(), "factor": factor}

    pids = []
    with session(evaluate=numbered(1), workers=1):
        for factor, workers in ((1, 1), (2, 1), (3, 2), (1, 1)):
            engine = make_engine(4)
            run(engine, numbered(factor), workers=workers)
            assert {record.metrics["factor"] for record in engine.trials()} == {factor}
            pids.append({int(record.metrics["pid"]) for record in engine.trials()})
        assert pids[0] == pids[1] == pids[3]
        assert not pids[0] & pids[2]
        assert all(alive(pid) for pid in pids[0])
        assert not any(alive(pid) for pid in pids[2])
    assert not any(alive(pid) for pid in pids[0])


def test_a_run_of_a_session_that_fails_leaves_the_next_one_whole() -> None:
    """Workers that die, that cannot load, and that are at a trial when the engine gives up are replaced."""
    with session(workers=2):
        engine = make_engine(5)
        run(engine, Dies(2, "kill"), workers=2)
        assert sorted(record.state for record in engine.trials()) == ["COMPLETE"] * 4 + ["FAIL"]
        with pytest.raises(InputError, match="cannot load it"):
            run(make_engine(3), RaisesOnLoad(), workers=2)
        with Gate(2, opens=False) as gate:
            with pytest.raises(OSError, match="the disk is full"):
                run(make_engine(3, kind=DiskIsFull), Hangs(gate.address, 1), workers=2)
            assert not any(alive(int(pid)) for pid in gate.arrived.values())
        whole = make_engine(6)
        run(whole, simple, workers=2)
        assert {record.state for record in whole.trials()} == {"COMPLETE"}


class CountsWarmUps:
    """Counts how often its `warm_up` was called, which may fail."""

    def __init__(self, broken: bool) -> None:
        self.broken, self.calls = broken, 0

    def warm_up(self) -> None:
        self.calls += 1
        if self.broken:
            raise RuntimeError("no data")

    def __call__(self, config: dict[str, Any], trial: Any) -> dict[str, Any]:
        return {**simple(config, trial), "calls": self.calls}


@pytest.mark.parametrize("broken", [False, True])
def test_an_objective_warms_up_once_in_a_worker_and_may_fail_at_it(broken: bool) -> None:
    engine = make_engine(3)
    run(engine, CountsWarmUps(broken))
    assert [record.metrics["calls"] for record in engine.trials()] == [1.0] * 3


def test_threads_are_limited_before_libraries_load() -> None:
    def objective(config: dict[str, Any], trial: Any) -> dict[str, Any]:
        import torch

        return {**simple(config, trial), "omp": int(os.environ["OMP_NUM_THREADS"]), "torch": torch.get_num_threads()}

    engine = make_engine(1)
    run(engine, objective, threads_per_trial=2)
    metrics = engine.trials()[0].metrics
    assert (metrics["omp"], metrics["torch"]) == (2.0, 2.0)


def test_workers_share_cached_values_through_a_folder(tmp_path: Path) -> None:
    def objective(config: dict[str, Any], trial: Any) -> dict[str, Any]:
        value = trial.cached(["pid"], os.getpid)
        return {**simple(config, trial), "value": value, "pid": os.getpid()}

    engine = make_engine(6)
    run(engine, objective, workers=1, cache=tmp_path)
    again = make_engine(2)
    run(again, objective, workers=1, cache=tmp_path)
    assert {r.metrics["value"] for r in again.trials()} == {r.metrics["pid"] for r in engine.trials()}


def test_an_objective_that_a_worker_cannot_load_is_refused_and_nothing_was_asked() -> None:
    engine = make_engine(3)
    with pytest.raises(InputError, match=r"cannot load it .*No module named 'a_module_that_is_nowhere'"):
        run(engine, RaisesOnLoad())
    assert engine.calls == []


def test_workers_that_die_before_they_begin_end_the_search() -> None:
    engine = make_engine(3)
    with pytest.raises(WorkerError, match="exit code 3, before it had loaded the objective; so did 3 in a row"):
        run(engine, ExitsOnLoad())
    assert engine.calls == []


class DiskIsFull(Recorded):
    """An engine that cannot write results."""

    def tell(self, number: int, result: Result) -> Any:
        raise OSError("the disk is full")


def test_an_error_of_the_engine_ends_workers_and_comes_through() -> None:
    engine = make_engine(3, kind=DiskIsFull)
    with Gate(1, opens=False) as gate:
        with pytest.raises(OSError, match="the disk is full"):
            run(engine, Hangs(gate.address, 1), workers=2)
        assert not any(alive(int(pid)) for pid in gate.arrived.values())


def test_stop_ends_asking_and_finishes_what_runs() -> None:
    engine = make_engine(50)
    run(engine, simple, stop=lambda: len(engine.calls) >= 6)
    assert [record.state for record in engine.trials()] == ["COMPLETE"] * 3


def test_progress_is_shown_seldom_and_at_the_end() -> None:
    shown = []
    engine = make_engine(40)
    begun = time.monotonic()
    run(engine, simple, on_event=lambda e: shown.append(e.summary()["done"]))
    assert shown[-1] == 40
    assert len(shown) <= 2 + (time.monotonic() - begun) / 0.25


Start = Callable[[str], subprocess.Popen[str]]

SCRIPT = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a test run in the background ignores it
sys.path[:0] = [{tests!r}]
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from objectives import Hangs, make_engine
from autoreg.execution import run
engine = make_engine(6, Path({folder!r}) / "events.jsonl")
"""


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a script of its own; ended with the test."""
    scripts: list[subprocess.Popen[str]] = []

    def begin(body: str) -> subprocess.Popen[str]:
        file = tmp_path / "script.py"
        file.write_text(SCRIPT.format(tests=str(HERE), folder=str(tmp_path)) + textwrap.dedent(body))
        command = [sys.executable, str(file)]
        scripts.append(subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE))
        return scripts[-1]

    yield begin
    for script in scripts:
        script.kill()
        script.communicate()


def test_a_script_without_main_guard_runs_and_its_output_is_seen(start: Start) -> None:
    body = """
    print("script")
    factor = 2
    def objective(config: dict[str, Any], trial: Any) -> dict[str, Any]:
        print("trial", trial.number)
        print("warning", trial.number, file=sys.stderr)
        return {"error": factor * config["x"]}
    run(engine, objective)
    print(len(engine.front()) > 0, {record.state for record in engine.trials()})
    """
    script = start(body)
    out, err = script.communicate(timeout=60)
    assert script.returncode == 0, err
    assert sorted(out.splitlines()) == sorted(["script", *(f"trial {n}" for n in range(6)), "True {'COMPLETE'}"])
    assert err.splitlines() == [f"warning {n}" for n in range(6)]


def test_no_worker_outlives_a_parent_that_was_killed(start: Start) -> None:
    with Gate(2, opens=False) as gate:
        script = start(f"run(engine, Hangs({gate.address!r}, 0), workers=2)")
        pids = [int(pid) for pid in gate.wait().values()]
        assert all(alive(pid) for pid in pids)
        script.kill()
        script.communicate()
        for pid in pids:
            wait_until_gone(pid)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_keeps_what_was_recorded_ends_the_workers_and_a_resumed_search_goes_on(
    tmp_path: Path, start: Start, number: signal.Signals
) -> None:
    with Gate(1, opens=False) as gate:
        body = f"""
        try:
            run(engine, Hangs({gate.address!r}, 3))
        except KeyboardInterrupt:
            sys.exit(130)
        """
        script = start(body)
        pid = int(gate.wait()[3])
        script.send_signal(number)
        _, err = script.communicate(timeout=20)  # at once: the trial would stay at the gate for a minute
        assert script.returncode == 130, err
        assert not alive(pid)
    events = read_events(tmp_path / "events.jsonl")
    assert [event["trial"] for event in events if event["event"] == "tell"] == [0, 1, 2]

    resumed, whole = make_engine(6, tmp_path / "events.jsonl"), make_engine(6)
    run(resumed, simple)
    run(whole, simple)
    assert outcomes(resumed) == outcomes(whole)
