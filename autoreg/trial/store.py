"""The store of finished phases: tensors and their description under the content hash of what made them.

Layout: `FOLDER/ab/abcdef.../{tensors.safetensors, meta.json}`. An entry appears whole or not at all (it is
written beside and renamed), and one process at a time computes a key. When the store outgrows its cap the
entries that were least recently used go first.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autoreg.files import parse_json
from autoreg.locks import hold_lock

if TYPE_CHECKING:
    import torch

DEFAULT_CAP = 2 * 1024**3


@dataclass(frozen=True)
class StoreEntry:
    """What a finished phase left: tensors by name (on the CPU) and a JSON description."""

    tensors: Mapping[str, torch.Tensor]
    meta: Mapping[str, Any]


class Store:
    """Entries by key in a folder that several processes share.

    Args:
        folder: of the entries; created when the first is written.
        cap: bytes that the store may hold before the least recently used entries are removed.
    """

    def __init__(self, folder: str | os.PathLike[str], *, cap: int = DEFAULT_CAP) -> None:
        self.folder = Path(folder)
        self.cap = cap
        self._unseen, self._room = 0, 0  # bytes put here since the folder was last looked through, and how many may be

    def path(self, key: str) -> Path:
        """The folder of entry `key`."""
        return self.folder / key[:2] / key

    def has(self, key: str) -> bool:
        """Whether entry `key` is there."""
        return (self.path(key) / "meta.json").exists()

    def get(self, key: str) -> StoreEntry | None:
        """Entry `key`, marked as just used; None where there is none or it went while being read."""
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        folder = self.path(key)
        try:
            meta = parse_json((folder / "meta.json").read_text(encoding="utf-8"))
            tensors = load_file(folder / "tensors.safetensors")
            os.utime(folder / "meta.json")
        except (OSError, SafetensorError, ValueError):
            return None
        return StoreEntry(tensors, meta)

    def put(self, key: str, entry: StoreEntry) -> None:
        """Store `entry` under `key`; a whole entry that is there already stays.

        A full disk does not end the trial: the entry is dropped and work goes on unshared.
        """
        from safetensors import SafetensorError
        from safetensors.torch import save_file

        folder = self.path(key)
        beside = folder.with_name(f".{key}.{uuid.uuid4().hex}")
        try:
            beside.mkdir(parents=True)
            tensors = {k: v.detach().cpu().contiguous().clone() for k, v in entry.tensors.items()}
            meta = json.dumps(entry.meta, allow_nan=False)
            save_file(tensors, beside / "tensors.safetensors")
            (beside / "meta.json").write_text(meta, encoding="utf-8")
            if folder.exists() and self.get(key) is None:
                self.drop(key)  # damaged: it would never be replaced
            os.replace(beside, folder)
        except (OSError, SafetensorError):  # no space left, or another process was first
            shutil.rmtree(beside, ignore_errors=True)
            return
        self._unseen += len(meta) + sum(tensor.nbytes for tensor in tensors.values())
        if self._unseen > self._room:
            self._evict(but=key)

    def drop(self, key: str) -> None:
        """Remove entry `key`; it is gone at once, also for others."""
        gone = self.path(key).with_name(f".{key}.{uuid.uuid4().hex}")
        with contextlib.suppress(OSError):
            os.rename(self.path(key), gone)
            shutil.rmtree(gone, ignore_errors=True)

    @contextlib.contextmanager
    def writing(self, key: str) -> Iterator[None]:
        """Hold the right to compute `key`; other processes on this machine wait until it is released."""
        with hold_lock(self.folder / "locks" / key[:3]):  # few files: locks need no clean-up
            yield

    def _evict(self, but: str) -> None:
        """Look through the whole folder, and remove what is above the cap.

        That takes longer than writing an entry, and is due again when a sixteenth of what is left is used up: so many
        processes may write side by side. A full store is looked through each time that 1/256 of it is written.
        """
        sizes: list[tuple[float, int, Path]] = []
        for meta in self.folder.glob("??/*/meta.json"):
            with contextlib.suppress(FileNotFoundError):
                size = sum(part.stat().st_size for part in meta.parent.iterdir())
                sizes.append((meta.stat().st_mtime, size, meta.parent))
        total = sum(size for _, size, _ in sizes)
        for used, size, folder in sorted(sizes):
            if total <= self.cap:
                break
            if folder.name == but or time.time() - used < 60:
                continue  # an entry that was just used is likely about to be used again
            self.drop(folder.name)
            total -= size
        self._unseen, self._room = 0, max((self.cap - total) // 16, self.cap // 256)
        for left in self.folder.glob("??/.*"):  # of a process that was killed while it wrote
            with contextlib.suppress(OSError):
                if time.time() - left.stat().st_mtime > 3600:
                    shutil.rmtree(left, ignore_errors=True)


def default_store() -> Path:
    """The folder used when none is named: `$AUTOREG_STORE`, else `autoreg` in the user's cache folder."""
    named = os.environ.get("AUTOREG_STORE")
    if named:
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "autoreg"
