"""The measuring lock, between real processes."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from autoreg.locks import MeasureLock

WORKER = """
    import sys, time
    from autoreg.locks import MeasureLock
    lock, log, mode = MeasureLock(sys.argv[1]), sys.argv[2], sys.argv[3]
    rounds, hold = int(sys.argv[4]), float(sys.argv[5])
    def note(what):
        with open(log, "a") as file:
            file.write(f"{mode} {what} {time.monotonic()}\\n")
    note("ready")
    for _ in range(rounds):
        with getattr(lock, mode)():
            note("in")
            time.sleep(hold)
            note("out")
"""


def start(path: Path, log: Path, mode: str, rounds: int, hold: float) -> subprocess.Popen[bytes]:
    """A process that takes and gives back the lock, and writes down when."""
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(WORKER), str(path), str(log), mode, str(rounds), str(hold)]
    )


def wait_for(log: Path, line: str, seconds: float = 60.0, times: int = 1) -> None:
    """Wait until the log has so many lines that begin so."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if log.exists() and sum(entry.startswith(line) for entry in log.read_text().splitlines()) >= times:
            return
        time.sleep(0.01)
    raise AssertionError(f"{line!r} did not appear in {log}")


def stop(*processes: subprocess.Popen[bytes]) -> None:
    """End processes that the test started."""
    for process in processes:
        process.kill()
        process.wait()


def test_workers_share_and_the_timer_is_alone(tmp_path: Path) -> None:
    """Two workers overlap; while the timer is in, nobody is."""
    path, log = tmp_path / "lock", tmp_path / "log"
    processes = [start(path, log, mode, rounds, 0.03) for mode, rounds in [("shared", 12)] * 2 + [("exclusive", 4)]]
    assert [process.wait(60) for process in processes] == [0, 0, 0]
    inside = {"shared": 0, "exclusive": 0}
    together = 0
    for line in sorted(log.read_text().splitlines(), key=lambda entry: float(entry.split()[2])):
        mode, what, _ = line.split()
        if what != "ready":
            inside[mode] += 1 if what == "in" else -1
        together = max(together, inside["shared"])
        assert not (inside["exclusive"] and inside["shared"])
        assert inside["exclusive"] <= 1
    assert together == 2


def test_busy_workers_do_not_starve_the_timer(tmp_path: Path) -> None:
    """Three workers that come straight back, one always inside: the timer gets in, without it being their gap."""
    path, log = tmp_path / "lock", tmp_path / "log"
    workers = [start(path, log, "shared", 10_000, hold) for hold in (0.07, 0.11, 0.13)]
    try:
        wait_for(log, "shared ready", times=3)
        timer = start(path, log, "exclusive", 3, 0.0)
        try:
            assert timer.wait(20) == 0
        finally:
            stop(timer)
        assert all(worker.poll() is None for worker in workers)
    finally:
        stop(*workers)


def test_a_killed_holder_gives_the_lock_back(tmp_path: Path) -> None:
    """`kill -9` of a worker and of a timer leaves no lock behind."""
    path = tmp_path / "lock"
    for mode in ("shared", "exclusive"):
        log = tmp_path / f"log-{mode}"
        holder = start(path, log, mode, 1, 600.0)
        wait_for(log, f"{mode} in")
        stop(holder)
        with MeasureLock(path).exclusive():
            pass


def test_nested_locks_of_one_thread(tmp_path: Path) -> None:
    """Inside one's own lock the same is free; waiting for oneself is refused."""
    lock = MeasureLock(tmp_path / "lock")
    with lock.shared(), lock.shared(), pytest.raises(RuntimeError, match="would wait for itself"), lock.exclusive():
        pass
    with lock.exclusive(), lock.shared(), lock.exclusive():
        pass


FORK = """
    import os, sys, time
    from autoreg.locks import MeasureLock
    from autoreg.trial.store import Store
    kind, path = sys.argv[1:]
    hold = (lambda: Store(path).writing("abc")) if kind == "writing" else getattr(MeasureLock(path), kind)
    alone = hold if kind == "writing" else MeasureLock(path).exclusive
    with hold():
        child = os.fork()
        if child == 0:
            time.sleep(600)
            os._exit(0)
    try:
        with alone():
            print("free")
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)
"""


@pytest.mark.parametrize("kind", ["shared", "exclusive", "writing"])
def test_a_process_forked_inside_does_not_keep_the_lock(kind: str, tmp_path: Path) -> None:
    """As the workers of a data loader are: they have the lock's file open, and live on."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(FORK), kind, str(tmp_path / "here")],
        timeout=60,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "free\n"


def test_without_file_locks_it_warns_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a platform without fcntl."""
    monkeypatch.setattr("autoreg.locks.fcntl", None)
    with pytest.warns(UserWarning, match="no file locks"), MeasureLock(tmp_path / "lock").shared():
        pass
    assert not (tmp_path / "lock").exists()
