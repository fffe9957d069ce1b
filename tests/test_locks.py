"""Locks between real processes."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from filelock import Timeout

from autoreg.locks import MeasureLock, hold_lock, take_lock
from autoreg.trial.store import Store

# Takes a lock and gives it back as it is told on its standard input, and says what it has done.
HOLDER = """
    import sys
    from contextlib import ExitStack
    from pathlib import Path
    from autoreg.locks import MeasureLock, hold_lock
    path, mode = sys.argv[1:]
    held = ExitStack()
    print("ready", flush=True)
    for line in sys.stdin:
        if line.strip() == "enter":
            held.enter_context(hold_lock(Path(path)) if mode == "alone" else getattr(MeasureLock(path), mode)())
            print("in", flush=True)
        else:
            held.close()
            print("out", flush=True)
"""
SECONDS = 60.0


class Holder:
    """A process that holds a lock as long as it is told to.

    Args:
        path: the lock.
        mode: `shared` or `exclusive` of a measuring lock, or `alone`.
    """

    def __init__(self, path: Path, mode: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(HOLDER), str(path), mode],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._said: list[str] = []
        self._news = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        assert self.says("ready")

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._news:
                self._said.append(line.strip())
                self._news.notify_all()

    def order(self, what: str) -> None:
        """Tell it to `enter` or to `leave`."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{what}\n")
        self.process.stdin.flush()

    def says(self, what: str, seconds: float = SECONDS) -> bool:
        """Wait until it says something; whether it did within the time."""
        with self._news:
            if not self._news.wait_for(lambda: what in self._said, seconds):
                return False
            self._said.remove(what)
            return True

    def enter(self) -> None:
        """Have it take the lock."""
        self.order("enter")
        assert self.says("in"), "it did not get the lock"

    def leave(self) -> None:
        """Have it give the lock back."""
        self.order("leave")
        assert self.says("out")

    def kill(self) -> None:
        """End it at once, whatever it holds."""
        self.process.kill()
        self.process.wait()
        self._reader.join()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()


@pytest.fixture
def start() -> Iterator[Callable[[Path, str], Holder]]:
    """Starts holders that end with the test."""
    holders: list[Holder] = []

    def begin(path: Path, mode: str) -> Holder:
        holders.append(Holder(path, mode))
        return holders[-1]

    yield begin
    for holder in holders:
        holder.kill()


Start = Callable[[Path, str], Holder]
BRIEFLY = 0.3  # seconds in which a process that is not kept out would have got in many times over


def test_workers_share_and_the_timer_is_alone(start: Start, tmp_path: Path) -> None:
    """Two workers are inside together; the timer gets in when both have left, and keeps them out."""
    path = tmp_path / "lock"
    one, other, timer = start(path, "shared"), start(path, "shared"), start(path, "exclusive")
    one.enter()
    other.enter()
    timer.order("enter")
    assert not timer.says("in", BRIEFLY)
    one.leave()
    assert not timer.says("in", BRIEFLY)
    other.leave()
    assert timer.says("in")
    one.order("enter")
    assert not one.says("in", BRIEFLY)
    timer.leave()
    assert one.says("in")


def test_workers_do_not_get_in_before_a_timer_that_waits(start: Start, tmp_path: Path) -> None:
    """One worker is inside, the timer waits, and another worker comes: without its turn it would starve the timer."""
    path = tmp_path / "lock"
    one, other, timer = start(path, "shared"), start(path, "shared"), start(path, "exclusive")
    one.enter()
    timer.order("enter")
    assert not timer.says("in", BRIEFLY)
    other.order("enter")
    assert not other.says("in", BRIEFLY), "it went past the timer"
    one.leave()
    assert timer.says("in")
    timer.leave()
    assert other.says("in")


@pytest.mark.parametrize("mode", ["shared", "exclusive", "alone"])
def test_a_killed_holder_gives_the_lock_back(start: Start, mode: str, tmp_path: Path) -> None:
    """`kill -9` of whoever holds it."""
    path = tmp_path / "lock"
    holder, next_one = start(path, mode), start(path, "alone" if mode == "alone" else "exclusive")
    holder.enter()
    next_one.order("enter")
    assert not next_one.says("in", BRIEFLY)
    holder.kill()
    assert next_one.says("in"), "the lock of a dead process is still held"


def test_threads_wait_for_each_other(tmp_path: Path) -> None:
    """As processes do; whatever they hold it with."""
    lock, inside = MeasureLock(tmp_path / "lock"), threading.Event()

    def time() -> None:
        with MeasureLock(tmp_path / "lock").exclusive():
            inside.set()

    with lock.shared():
        thread = threading.Thread(target=time)
        thread.start()
        assert not inside.wait(BRIEFLY)
    assert inside.wait(SECONDS)
    thread.join()


def test_nested_locks_of_one_thread(tmp_path: Path) -> None:
    """Inside one's own lock the same is free; waiting for oneself is refused."""
    lock = MeasureLock(tmp_path / "lock")
    with lock.shared(), lock.shared(), pytest.raises(RuntimeError, match="would wait for itself"), lock.exclusive():
        pass
    with lock.exclusive(), lock.shared(), lock.exclusive():
        pass


def test_a_lock_is_taken_at_once_or_not_at_all(tmp_path: Path) -> None:
    """Also within one process."""
    lock = take_lock(tmp_path / "lock")
    with pytest.raises(Timeout):
        take_lock(tmp_path / "lock")
    lock.release()
    take_lock(tmp_path / "lock").release()


def test_where_no_lock_can_be_had_work_goes_on(tmp_path: Path) -> None:
    """Below a file there are no folders."""
    (tmp_path / "file").touch()
    with hold_lock(tmp_path / "file" / "locks" / "a"):
        pass


FORK = """
    import os, sys
    from pathlib import Path
    from autoreg.locks import MeasureLock
    from autoreg.trial.store import Store
    kind, path = sys.argv[1:]
    hold = (lambda: Store(path).writing("abc")) if kind == "writing" else getattr(MeasureLock(path), kind)
    waits, lives = os.pipe()
    with hold():
        child = os.fork()
        if child == 0:
            os.close(lives)
            os.read(waits, 1)  # until the parent ends
            os._exit(0)
    print("left", flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("kind", ["shared", "exclusive", "writing"])
def test_a_process_forked_inside_does_not_keep_the_lock(kind: str, tmp_path: Path) -> None:
    """As the workers of a data loader are: they have the lock's file open, and live on."""
    path = tmp_path / "here"
    command = [sys.executable, "-c", textwrap.dedent(FORK), kind, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "left\n"
        free = threading.Event()

        def enter() -> None:
            alone: AbstractContextManager[None] = MeasureLock(path).exclusive()
            with Store(path).writing("abc") if kind == "writing" else alone:
                free.set()

        threading.Thread(target=enter, daemon=True).start()
        assert free.wait(SECONDS), "the forked process keeps the lock"
        parent.communicate()
