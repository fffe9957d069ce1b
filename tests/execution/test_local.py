"""The local executor, with real processes and the real engine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from autoreg.engine import read_events
from autoreg.errors import InputError
from autoreg.execution import WorkerError, run
from tests.execution.objectives import (
    Dies,
    ExitsOnLoad,
    RaisesOnLoad,
    Sleeps,
    alive,
    curve,
    halving,
    make_engine,
    simple,
    told,
    wait_for,
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


def test_one_worker_asks_reports_tells_in_this_order():
    engine = make_engine(3)
    run(engine, curve)
    expected = [(what, n) for n in range(3) for what in ("ask", *["report"] * 9, "tell")]
    assert engine.calls == [*expected, ("ask", -1)]


def test_a_worker_process_gives_the_same_trials_as_this_process():
    here, there = make_engine(12, prune=halving()), make_engine(12, prune=halving())
    run(here, curve, in_process=True)
    run(there, curve)
    assert told(there) == told(here)
    assert len(told(here)) == 12


def test_decisions_reach_the_objective_and_partial_results_come_back():
    engine = make_engine(25, prune=halving())
    run(engine, curve)
    stopped = [row for row in engine.trials() if row["state"] == "PRUNED"]
    assert 5 < len(stopped) < 25
    for row in stopped:
        assert row["metrics"]["after"] == row["info"].epochs_run < 9
        assert row["reason"] == f"stopped at step {row['info'].epochs_run:.0f}"


@pytest.mark.parametrize("how", list(MESSAGES))
def test_a_trial_that_ends_badly_fails_and_the_search_goes_on(how):
    engine = make_engine(5)
    run(engine, Dies(2, how))
    states = [row["state"] for row in engine.trials()]
    assert states == ["COMPLETE", "COMPLETE", "FAIL", "COMPLETE", "COMPLETE"]
    assert engine.trials()[2]["reason"] == MESSAGES[how]


def test_a_worker_killed_from_outside_fails_its_trial_and_is_replaced(tmp_path):
    def objective(config, trial):
        if trial.number == 1:
            (tmp_path / "pid").write_text(str(os.getpid()))
            time.sleep(60)
        return simple(config, trial)

    def kill(engine):
        if (tmp_path / "pid").exists() and (text := (tmp_path / "pid").read_text()):
            os.kill(int(text), signal.SIGKILL)
            (tmp_path / "pid").unlink()

    engine = make_engine(4)
    run(engine, objective, on_event=kill)
    assert [row["state"] for row in engine.trials()] == ["COMPLETE", "FAIL", "COMPLETE", "COMPLETE"]


def test_two_workers_run_at_the_same_time(tmp_path):
    def objective(config, trial):
        (tmp_path / str(trial.number)).touch()
        until = time.monotonic() + 20
        while not ((tmp_path / "0").exists() and (tmp_path / "1").exists()):
            assert time.monotonic() < until, "alone"
            time.sleep(0.01)
        return {**simple(config, trial), "pid": os.getpid()}

    engine = make_engine(6)
    run(engine, objective, workers=2)
    assert {row["state"] for row in engine.trials()} == {"COMPLETE"}
    assert len({row["metrics"]["pid"] for row in engine.trials()}) == 2


def test_workers_are_gone_when_the_search_is_over():
    engine = make_engine(4)
    run(engine, lambda config, trial: {**simple(config, trial), "pid": os.getpid()}, workers=2)
    pids = {int(row["metrics"]["pid"]) for row in engine.trials()}
    assert pids
    assert not any(alive(pid) for pid in pids)


def test_threads_are_limited_before_libraries_load():
    def objective(config, trial):
        import torch

        return {**simple(config, trial), "omp": int(os.environ["OMP_NUM_THREADS"]), "torch": torch.get_num_threads()}

    engine = make_engine(1)
    run(engine, objective, threads_per_trial=2)
    metrics = engine.trials()[0]["metrics"]
    assert (metrics["omp"], metrics["torch"]) == (2.0, 2.0)


def test_workers_share_cached_values_through_a_folder(tmp_path):
    def objective(config, trial):
        value = trial.cached(["pid"], os.getpid)
        return {**simple(config, trial), "value": value, "pid": os.getpid()}

    engine = make_engine(6)
    run(engine, objective, workers=1, cache=tmp_path)
    again = make_engine(2)
    run(again, objective, workers=1, cache=tmp_path)
    assert {row["metrics"]["value"] for row in again.trials()} == {row["metrics"]["pid"] for row in engine.trials()}


def test_an_objective_that_a_worker_cannot_load_is_refused_and_nothing_was_asked():
    engine = make_engine(3)
    with pytest.raises(InputError, match=r"cannot load it .*No module named 'a_module_that_is_nowhere'"):
        run(engine, RaisesOnLoad())
    assert engine.calls == []


def test_workers_that_die_before_they_begin_end_the_search():
    engine = make_engine(3)
    with pytest.raises(WorkerError, match="exit code 3, before it had loaded the objective; so did 3 in a row"):
        run(engine, ExitsOnLoad())
    assert engine.calls == []


def test_an_error_of_the_engine_ends_workers_and_comes_through(tmp_path):
    class Failing(type(make_engine(1))):
        def tell(self, number, result):
            raise OSError("the disk is full")

    engine = make_engine(3)
    engine.__class__ = Failing
    with pytest.raises(OSError, match="the disk is full"):
        run(engine, Sleeps(tmp_path, 1), workers=2)
    for file in tmp_path.glob("pid-*"):
        assert not alive(int(file.read_text()))


def test_stop_ends_asking_and_finishes_what_runs():
    engine = make_engine(50)
    run(engine, simple, stop=lambda: len(engine.calls) >= 6)
    assert [row["state"] for row in engine.trials()] == ["COMPLETE"] * 3


def test_progress_is_shown_seldom_and_at_the_end():
    shown = []
    engine = make_engine(40)
    begun = time.monotonic()
    run(engine, simple, on_event=lambda e: shown.append(e.summary()["done"]))
    assert shown[-1] == 40
    assert len(shown) <= 2 + (time.monotonic() - begun) / 0.25


SCRIPT = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a test run in the background ignores it
sys.path[:0] = [{tests!r}]
from pathlib import Path
from objectives import Sleeps, make_engine
from autoreg.execution import run
engine = make_engine(6, Path({folder!r}) / "events.jsonl")
"""


@pytest.fixture
def start(tmp_path):
    """Starts a script of its own; ended with the test."""
    scripts = []

    def begin(body):
        file = tmp_path / "script.py"
        file.write_text(SCRIPT.format(tests=str(HERE), folder=str(tmp_path)) + textwrap.dedent(body))
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        scripts.append(subprocess.Popen([sys.executable, str(file)], text=True, **pipes))
        return scripts[-1]

    yield begin
    for script in scripts:
        script.kill()
        script.communicate()


def test_a_script_without_main_guard_runs_and_its_output_is_seen(start):
    body = """
    print("script")
    factor = 2
    def objective(config, trial):
        print("trial", trial.number)
        print("warning", trial.number, file=sys.stderr)
        return {"error": factor * config["x"]}
    run(engine, objective)
    print(len(engine.front()) > 0, {row["state"] for row in engine.trials()})
    """
    script = start(body)
    out, err = script.communicate(timeout=60)
    assert script.returncode == 0, err
    assert sorted(out.splitlines()) == sorted(["script", *(f"trial {n}" for n in range(6)), "True {'COMPLETE'}"])
    assert err.splitlines() == [f"warning {n}" for n in range(6)]


def test_no_worker_outlives_a_parent_that_was_killed(tmp_path, start):
    script = start(f"run(engine, Sleeps(Path({str(tmp_path)!r}), 0), workers=2)")
    wait_for(lambda: all((tmp_path / f"pid-{n}").exists() for n in (0, 1)))
    pids = [int(wait_for((tmp_path / f"pid-{n}").read_text)) for n in (0, 1)]
    assert all(alive(pid) for pid in pids)
    script.kill()
    script.communicate()
    wait_for(lambda: not any(alive(pid) for pid in pids), 5)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_keeps_what_was_told_ends_the_workers_and_a_resumed_search_goes_on(tmp_path, start, number):
    body = f"""
    try:
        run(engine, Sleeps(Path({str(tmp_path)!r}), 3))
    except KeyboardInterrupt:
        sys.exit(130)
    """
    script = start(body)
    pid = int(wait_for(lambda: (tmp_path / "pid-3").exists() and (tmp_path / "pid-3").read_text()))
    begun = time.monotonic()
    script.send_signal(number)
    _, err = script.communicate(timeout=20)
    assert script.returncode == 130, err
    assert time.monotonic() - begun < 4
    assert not alive(pid)
    events = read_events(tmp_path / "events.jsonl")
    assert [event["trial"] for event in events if event["event"] == "tell"] == [0, 1, 2]

    resumed, whole = make_engine(6, tmp_path / "events.jsonl"), make_engine(6)
    run(resumed, simple)
    run(whole, simple)
    assert told(resumed) == told(whole)
