"""Values that trials share: computed once, by key alone, kept whole, read without running anything."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from autoreg import locks
from autoreg.engine.log import trial_cache
from autoreg.engine.log.trial import Trial
from autoreg.engine.log.trial_cache import cache_key, clear_memory, get_or_compute
from autoreg.errors import InputError
from autoreg.serialization import decode
from autoreg.trial_info import CacheSeconds
from tests.test_serialization import VALUES, same


@pytest.fixture(autouse=True)
def _fresh_memory() -> None:
    clear_memory()


@pytest.mark.parametrize("value", VALUES, ids=[str(k) for k in range(len(VALUES))])
def test_data_comes_back_as_it_was_and_the_file_holds_no_pickle(value: Any, tmp_path: Path) -> None:
    first = Trial(cache=tmp_path).cached("k", lambda: value)
    clear_memory()  # another process
    second: Any = Trial(cache=tmp_path).cached("k", lambda: pytest.fail("it is in the folder"))
    assert same(first, second)
    (file,) = tmp_path.glob("*.safetensors")
    with pytest.raises((pickle.UnpicklingError, ValueError, EOFError, KeyError, IndexError)):
        pickle.loads(file.read_bytes())


@pytest.mark.parametrize(
    "value",
    [(1, 2), {1: "integer key"}, {"$array": "0"}, object(), np.array(["a"]), torch.ones(2).to_sparse(), 1j],
    ids=lambda value: type(value).__name__,
)
def test_what_a_file_would_change_stays_in_memory(tmp_path: Path, value: Any) -> None:
    assert Trial(cache=tmp_path).cached("k", lambda: value) is value
    assert Trial(cache=tmp_path).cached("k", lambda: "another") is value
    assert list(tmp_path.glob("*.safetensors")) == []


def test_a_cached_value_is_computed_once_per_key(tmp_path: Path) -> None:
    calls: list[int] = []

    def work() -> dict[str, list[float]]:
        calls.append(1)
        return {"features": [1.0, 2.5]}

    for folder in (None, tmp_path):
        calls.clear()
        for _ in range(2):
            assert Trial(cache=folder).cached(["features", 3], work) == {"features": [1.0, 2.5]}
        assert calls == [1]
        Trial(cache=folder).cached(["features", 4], work)
        assert calls == [1, 1]


def test_nothing_but_the_key_says_whether_a_value_holds(tmp_path: Path) -> None:
    assert Trial(cache=tmp_path).cached("k", lambda: 1) == 1
    assert Trial(cache=tmp_path).cached("k", lambda: 2) == 1
    assert Trial(cache=tmp_path).cached(["k", "v2"], lambda: 2) == 2
    assert Trial(cache=tmp_path / "other").cached("k", lambda: 3) == 3


def test_a_damaged_file_is_computed_again(tmp_path: Path) -> None:
    Trial(cache=tmp_path).cached("k", lambda: np.ones(4))
    (file,) = tmp_path.glob("*.safetensors")
    for content in (b"", b"\xff" * 9, file.read_bytes()[:-3], b'{"value": [1,'):
        file.write_bytes(content)
        clear_memory()
        assert Trial(cache=tmp_path).cached("k", lambda: 5) == 5
        clear_memory()
        assert Trial(cache=tmp_path).cached("k", lambda: 6) == 5


def test_a_folder_that_cannot_be_written_costs_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert Trial(cache=tmp_path / "file" / "below").cached("k", lambda: 5) == 5


def test_a_computation_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def broken() -> int:
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        Trial(cache=tmp_path).cached("k", broken)
    assert Trial(cache=tmp_path).cached("k", lambda: 1) == 1


def test_keys_differ_where_json_differs_and_not_by_order() -> None:
    assert cache_key({"a": 1, "b": 2}) == cache_key({"b": 2, "a": 1})
    assert len({cache_key(k) for k in ([1], [2], "1", 1, 1.5, True, ["a", "b"], ["a-b"])}) == 8
    with pytest.raises(InputError, match="must be JSON data"):
        cache_key(object())


def test_a_computation_may_ask_for_other_keys_and_seconds_are_paid_once(tmp_path: Path) -> None:
    def slow() -> int:
        begun = time.perf_counter()
        while time.perf_counter() < begun + 0.05:
            pass
        return 1

    payer = Trial(cache=tmp_path)
    begun = time.perf_counter()
    assert payer.cached("outer", lambda: payer.cached("inner", slow) + slow()) == 2
    assert 0.1 <= _seconds(payer).computed <= time.perf_counter() - begun, "what is within counts once"
    assert _seconds(payer).saved == 0
    clear_memory()
    heir = Trial(cache=tmp_path)
    assert heir.cached("outer", slow) == 2
    assert _seconds(heir).computed == 0
    assert _seconds(heir).saved == pytest.approx(decode(_file(tmp_path, "outer").read_bytes())[1], abs=1e-5)
    assert _seconds(payer).computed == pytest.approx(_seconds(heir).saved, rel=0.5)


def _seconds(trial: Trial) -> CacheSeconds:
    assert trial.info.cache_seconds is not None
    return trial.info.cache_seconds


def _file(folder: Path, key: str) -> Path:
    return folder / f"{cache_key(key)}.safetensors"


def _compute_while_another_comes(folder: str, computing: Any, arrived: Any, out: Any) -> None:
    def work() -> dict[str, Any]:
        computing.set()
        assert arrived.wait(timeout=120), "the other never came to the lock"
        return {"by": os.getpid(), "array": np.arange(3)}

    found = get_or_compute(Path(folder), ["shared"], work)
    out.put((found.value["by"], found.value["array"].tolist(), found.fresh))


def _come_while_another_computes(folder: str, arrived: Any, out: Any) -> None:
    def tapped(path: Path) -> contextlib.AbstractContextManager[None]:
        arrived.set()  # the other goes on from here
        return locks.hold_lock(path)

    vars(trial_cache)["hold_lock"] = tapped
    found = get_or_compute(Path(folder), ["shared"], lambda: {"by": os.getpid(), "array": np.arange(4)})
    out.put((found.value["by"], found.value["array"].tolist(), found.fresh))


def test_of_two_processes_one_computes_and_the_other_waits(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    computing, arrived, out = context.Event(), context.Event(), context.Queue()
    first = context.Process(target=_compute_while_another_comes, args=(str(tmp_path), computing, arrived, out))
    second = context.Process(target=_come_while_another_computes, args=(str(tmp_path), arrived, out))
    first.start()
    assert computing.wait(timeout=120)
    second.start()
    found = [out.get(timeout=120) for _ in range(2)]
    for process in (first, second):
        process.join(timeout=60)
    assert {by for by, _, _ in found} == {first.pid}
    assert [array for _, array, _ in found] == [[0, 1, 2]] * 2
    assert sorted(fresh for _, _, fresh in found) == [False, True]


def _killed(folder: str, ready: Any) -> None:
    def work() -> int:
        ready.set()
        threading.Event().wait()  # until it is killed
        return 1

    get_or_compute(Path(folder), "k", work)


def test_a_process_that_dies_while_it_computes_lets_others_go_on(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    process = context.Process(target=_killed, args=(str(tmp_path), ready))
    process.start()
    assert ready.wait(timeout=120)
    process.kill()
    process.join(timeout=60)
    assert get_or_compute(tmp_path, "k", lambda: 2).value == 2
