"""The Ray executor, with a real Ray on this machine and the real engine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from autoreg.engine import read_events
from autoreg.errors import InputError
from autoreg.execution import WorkerError, run
from tests.execution.gates import Gate, wait_at, wait_until_gone
from tests.execution.objectives import (
    Dies,
    ExitsOnLoad,
    RaisesOnLoad,
    Recorded,
    curve,
    halving,
    make_engine,
    outcomes,
    simple,
)

pytestmark = pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::DeprecationWarning", "ignore::FutureWarning"
)
LOST = "worker died, or its node was lost: The actor is dead because its worker process has died."


@pytest.fixture(scope="module")
def ray(home: Path) -> Iterator[Any]:
    import ray

    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield ray
    ray.shutdown()


def test_ray_and_local_visit_the_same_recipes_and_take_the_same_decisions(ray: Any) -> None:
    here, there = make_engine(14, prune=halving()), make_engine(14, prune=halving())
    run(here, curve)
    run(there, curve, executor="ray")
    assert outcomes(there) == outcomes(here)
    assert there.calls == here.calls
    assert {record.state for record in there.trials()} == {"COMPLETE", "PRUNED"}
    assert [r.info.epochs_run for r in there.trials()] == [r.info.epochs_run for r in here.trials()]


def test_a_closure_runs_in_two_actors_at_a_time_and_actors_are_used_again(ray: Any) -> None:
    engine = make_engine(8)
    with Gate(2) as gate:
        address = gate.address

        def objective(config: dict[str, Any], trial: Any) -> dict[str, Any]:
            wait_at(address, trial.number)
            return {**simple(config, trial), "pid": os.getpid()}

        run(engine, objective, executor="ray", workers=2)
    assert {record.state for record in engine.trials()} == {"COMPLETE"}
    assert len({record.metrics["pid"] for record in engine.trials()}) == 2
    assert ray.is_initialized()


@pytest.mark.parametrize(
    ("how", "reason"),
    [("kill", LOST), ("exit", LOST), ("raise", "RuntimeError: the 4th layer"), ("sys.exit", "SystemExit: 2")],
)
def test_a_trial_that_ends_badly_fails_and_the_search_goes_on(ray: Any, how: str, reason: str) -> None:
    engine = make_engine(4)
    run(engine, Dies(1, how), executor="ray")
    assert [record.state for record in engine.trials()] == ["COMPLETE", "FAIL", "COMPLETE", "COMPLETE"]
    assert str(engine.trials()[1].reason).startswith(reason)


def test_an_actor_works_where_the_driver_does_with_the_threads_of_its_share(
    ray: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def objective(config: dict[str, Any], trial: Any) -> dict[str, Any]:
        import torch

        Path("here").touch()
        return {**simple(config, trial), "omp": int(os.environ["OMP_NUM_THREADS"]), "torch": torch.get_num_threads()}

    monkeypatch.chdir(tmp_path)
    engine = make_engine(1)
    run(engine, objective, executor="ray")
    assert (tmp_path / "here").exists()
    assert [engine.trials()[0].metrics[name] for name in ("omp", "torch")] == [1.0, 1.0]


def test_an_objective_that_an_actor_cannot_load_is_refused(ray: Any) -> None:
    engine = make_engine(3)
    with pytest.raises(InputError, match=r"a Ray worker cannot load it .*No module named 'a_module_that_is_nowhere'"):
        run(engine, RaisesOnLoad(), executor="ray")
    assert outcomes(engine)[0][2] == "RUNNING"


def test_actors_that_die_before_they_begin_end_the_search(ray: Any) -> None:
    engine = make_engine(30)
    with pytest.raises(WorkerError, match="before it had begun; so did 3 in a row"):
        run(engine, ExitsOnLoad(), executor="ray")
    assert [record.state for record in engine.trials()].count("FAIL") == 3


class DiskIsFull(Recorded):
    """An engine that cannot write reports."""

    def report(self, number: int, step: int, metrics: Mapping[str, float]) -> Any:
        raise OSError("the disk is full")


def test_an_error_of_the_engine_comes_through(ray: Any) -> None:
    engine = make_engine(3, kind=DiskIsFull)
    with pytest.raises(OSError, match="the disk is full"):
        run(engine, curve, executor="ray")


def test_a_run_is_silent_and_leaves_nothing_behind(
    ray: Any, home: Path, capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before, variables = set(home.iterdir()), dict(os.environ)
    asked = []
    engine = make_engine(5)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)}
    run(engine, Dies(2, "raise"), executor="ray", on_event=lambda e: asked.append(e.summary()["asked"]))
    assert asked[-1] == 5
    assert capfd.readouterr() == ("", "")
    assert set(home.iterdir()) == before
    assert list(tmp_path.iterdir()) == []
    assert dict(os.environ) == variables
    assert {number: signal.getsignal(number) for number in handlers} == handlers


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"workers": 0}, "workers: found 0"),
        ({"cpus_per_trial": 0}, "cpus_per_trial: found 0"),
        ({"gpus_per_trial": 1.5}, "gpus_per_trial: found 1.5"),
        ({"address": "ray://head:10001"}, "a Ray client address"),
        ({"in_process": True}, "it has no option 'in_process'"),
    ],
)
def test_a_wrong_option_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        run(make_engine(1), simple, executor="ray", **options)


SCRIPT = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a test run in the background ignores it
sys.path[:0] = [{tests!r}]
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from objectives import Hangs, make_engine
from autoreg.execution import run
engine = make_engine(5, Path({folder!r}) / "events.jsonl")
try:
    run(engine, Hangs({gate!r}, 2), executor="ray", temp_dir={home!r})
except KeyboardInterrupt:
    import ray
    assert not ray.is_initialized()
    sys.exit(130)
"""


def test_ctrl_c_keeps_what_was_recorded_and_ends_a_ray_of_our_own(home: Path, tmp_path: Path) -> None:
    file = tmp_path / "script.py"
    places = {"tests": str(Path(__file__).parent), "folder": str(tmp_path), "home": str(home)}
    with Gate(1, opens=False) as gate:
        file.write_text(textwrap.dedent(SCRIPT.format(gate=gate.address, **places)))
        pipes = subprocess.PIPE
        script = subprocess.Popen([sys.executable, str(file)], stdout=pipes, stderr=pipes, text=True)
        try:
            pid = int(gate.wait()[2])
            script.send_signal(signal.SIGINT)
            out, err = script.communicate(timeout=50)  # earlier than the trial would leave the gate by itself
        finally:
            script.kill()
            script.communicate()
        wait_until_gone(pid)
    assert script.returncode == 130, err
    assert (out, err) == ("", "")
    assert [event["trial"] for event in read_events(tmp_path / "events.jsonl") if event["event"] == "tell"] == [0, 1]
