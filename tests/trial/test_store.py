"""The store: entries whole or not at all, and the least recently used go first."""

from __future__ import annotations

import os
import time
from pathlib import Path

import torch

from autoreg.trial.store import Store, StoreEntry


def entry(value: float, size: int = 10) -> StoreEntry:
    return StoreEntry({"w": torch.full((size,), value), "n": torch.tensor(3)}, {"note": value})


def test_an_entry_comes_back_as_it_was(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.put("ab12", entry(0.5))
    found = store.get("ab12")
    assert found is not None
    assert torch.equal(found.tensors["w"], torch.full((10,), 0.5))
    assert found.tensors["n"].dtype == torch.int64
    assert found.meta == {"note": 0.5}
    assert store.get("ab13") is None


def test_a_torn_entry_counts_as_missing(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.put("ab12", entry(0.5))
    file = store.path("ab12") / "tensors.safetensors"
    file.write_bytes(file.read_bytes()[:20])
    assert store.get("ab12") is None
    store.put("cd34", entry(0.5))
    (store.path("cd34") / "meta.json").write_text("[" * 100_000 + "]" * 100_000)  # deeper than Python reads
    assert store.get("cd34") is None


def test_the_least_recently_used_entry_goes_first(tmp_path: Path) -> None:
    store = Store(tmp_path, cap=1_000_000)
    for index, key in enumerate(("aa1", "bb2", "cc3")):
        store.put(key, entry(float(index), 50_000))
        old = time.time() - 1000 + index
        os.utime(store.path(key) / "meta.json", (old, old))
    assert store.get("aa1") is not None  # just used: now the youngest
    store.cap = 500_000
    store.put("dd4", entry(4, 50_000))
    assert [store.has(key) for key in ("aa1", "bb2", "cc3", "dd4")] == [True, False, False, True]


def test_a_full_disk_costs_sharing_and_nothing_else(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    store = Store(blocked)
    store.put("ab12", entry(1.0))
    assert store.get("ab12") is None
