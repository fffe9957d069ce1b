"""Training on a share of the data: the subsets of one fold, and loaders of them.

What is chosen, and after whom, stands in `autoreg.tasks.subset`. A task whose targets are no class labels (characters
that follow, numbers) is sampled evenly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sized
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, RandomSampler, SequentialSampler, Subset

from autoreg.errors import InputError
from autoreg.plan import content_hash
from autoreg.tasks import Task
from autoreg.tasks.batches import tensors_of
from autoreg.tasks.loader import BatchLoader
from autoreg.tasks.subset import Bank, FloatArray, IntArray, easy_sets, represent
from autoreg.trial.loop import seeded, steps_in
from autoreg.trial.store import Store, StoreEntry

CHUNK = 1024
"""Rows that are read at a time."""
_NONE = np.zeros((0, 0), dtype=np.int64)
_PASSED_ON = (
    *("batch_size", "collate_fn", "num_workers", "worker_init_fn", "multiprocessing_context", "prefetch_factor"),
    *("timeout", "pin_memory", "in_order"),
)


class _WidthsError(Exception):
    """Batches differ in width."""


class Subsets:
    """Subsets of the training data of one fold; what they are chosen by is computed once and left in the store.

    Args:
        task: gives inputs and targets of a batch.
        loader: of the fold's training data.
        key: hash of the task with its data, and of the fold.
        store: for what is computed; None for this process only.

    Raises:
        InputError: the loader is of a kind of which no subset can be taken.
    """

    def __init__(self, task: Task, loader: Any, key: str, store: Store | None) -> None:
        self.task, self.whole, self.key, self.store = task, loader, key, store
        self._batches = in_order(loader, task.name)
        self._easy: dict[float, IntArray | None] = {}

    def loader(self, share: float, seed: int, easy: int | None = None) -> Any:
        """A loader of a share of the rows, like that of all of them.

        Args:
            share: in (0, 1].
            seed: draws the rows.
            easy: number of an easy set to take instead; varied ones are taken where there are no easy ones.
        """
        sets = None if easy is None else self.easy(share)
        if sets is None or easy is None:
            rows = self.bank.varied_set(share, np.random.default_rng(seed))
        else:
            rows = sets[easy % len(sets)]
        return _of(self.whole, torch.from_numpy(rows))

    def steps(self, share: float) -> int:
        """Batches in an epoch over a share of the rows."""
        return steps_in(self.loader(share, 0))

    @cached_property
    def classes(self) -> IntArray | None:
        """Class of each row [n], None where targets are no class labels."""
        found: list[np.ndarray] = []
        with seeded(0):
            for batch in self._batches():
                try:
                    targets = self.task.targets(batch)
                except InputError:
                    return None
                if not isinstance(targets, torch.Tensor) or targets.dim() != 1 or targets.is_floating_point():
                    return None
                found.append(targets.cpu().numpy())
        names, classes = np.unique(np.concatenate(found), return_inverse=True)
        return classes.astype(np.int64) if 2 * len(names) <= len(classes) else None

    @cached_property
    def bank(self) -> Bank:
        """What varied sets are drawn from; evenly within the classes where rows cannot be compared."""
        if self.classes is None:
            count = rows_in(self.whole)
            return Bank(np.zeros(count, dtype=np.int64), np.zeros(count, dtype=np.float32))
        classes = self.classes

        def gains() -> np.ndarray:
            return np.zeros(len(classes), np.float32) if self._rows is None else Bank.of(self._rows, classes).gains

        return Bank(classes, self._get_or_compute("gains", gains))

    def easy(self, share: float) -> IntArray | None:
        """Positions of the easy sets of a share [sets, size], None where rows have no classes or cannot be compared."""
        if share not in self._easy:
            classes = self.classes

            def chosen() -> np.ndarray:
                assert classes is not None
                return _NONE if self._rows is None else easy_sets(self._rows, classes, share)

            found = _NONE if classes is None else self._get_or_compute(f"easy {share!r}", chosen)
            self._easy[share] = found if len(found) else None
        return self._easy[share]

    @cached_property
    def _rows(self) -> FloatArray | None:
        """Rows to compare; None where batches differ in width, as those do that are padded one by one."""

        def chunks() -> Iterator[np.ndarray]:
            width: int | None = None
            with seeded(0):
                for batch in self._batches():
                    rows = _flat(self.task.inputs(batch))
                    if width not in (None, rows.shape[1]):
                        raise _WidthsError
                    width = rows.shape[1]
                    yield rows

        try:
            return represent(chunks)
        except _WidthsError:
            return None

    def _get_or_compute(self, name: str, compute: Callable[[], np.ndarray]) -> np.ndarray:
        """An array of the store, or computed now and left there."""
        key = content_hash(["subset", self.key, name])
        entry = None if self.store is None else self.store.get(key)
        if entry is not None and name in entry.tensors:
            return np.asarray(entry.tensors[name].numpy())
        computed = compute()
        if self.store is not None:
            self.store.put(key, StoreEntry({name: torch.from_numpy(computed)}, {}))
        return computed


def _flat(inputs: Any) -> np.ndarray:
    """Inputs of a batch as one row for each sample: all their tensors, side by side [n, d]."""
    parts = [tensor.detach().cpu().reshape(len(tensor), -1).float() for tensor in tensors_of(inputs) if tensor.dim()]
    return torch.cat(parts, dim=1).numpy()


def in_order(loader: Any, name: str) -> Callable[[], Iterator[Any]]:
    """What gives the batches of a loader in the order of its data set.

    Raises:
        InputError: the loader is of a kind of which no subset can be taken.
    """
    if type(loader) is BatchLoader:
        rows = loader.rows
        return lambda: (rows[torch.arange(at, min(at + CHUNK, len(rows)))] for at in range(0, len(rows), CHUNK))
    if type(loader) is DataLoader and _takes_each_once(loader):
        return lambda: iter(_like(loader, loader.dataset, pin_memory=False, in_order=True))
    raise InputError(
        f"training.share: task {name!r} gives its training data in a {type(loader).__name__}, of which no subset can "
        "be taken; allowed are autoreg's BatchLoader, and torch's DataLoader (no subclass of either) with a batch "
        "size, over a data set with a length of which an epoch takes each row once"
    )


def _takes_each_once(loader: DataLoader[Any]) -> bool:
    data, sampler = loader.dataset, loader.sampler
    return (
        loader.batch_size is not None  # None: it does not batch, or has a batch sampler of its own
        and isinstance(data, Sized)
        and type(sampler) in (RandomSampler, SequentialSampler)
        and not getattr(sampler, "replacement", False)
        and len(sampler) == len(data)  # type: ignore[arg-type]
    )


def _like(loader: DataLoader[Any], data: Any, **changes: Any) -> DataLoader[Any]:
    """A loader with the settings of another over other data, which it takes in order unless `shuffle` is changed."""
    settings: dict[str, Any] = {name: getattr(loader, name) for name in _PASSED_ON}
    return DataLoader(data, **{**settings, **changes})


def rows_in(loader: Any) -> int:
    """Number of samples of a loader's data set."""
    return len(loader.rows) if isinstance(loader, BatchLoader) else len(loader.dataset)


def _of(loader: Any, rows: torch.Tensor) -> Any:
    """A loader like the one given, over some of its rows."""
    if type(loader) is BatchLoader:
        order, held = loader.order, loader.rows
        drawn = None if order.samples == len(held) else max(1, round(order.samples * len(rows) / len(held)))
        return BatchLoader(
            *held.tensors,
            batch_size=order.batch_size,
            shuffle=order.shuffle,
            indices=held.indices[rows],
            samples=drawn,
        )
    return _like(
        loader,
        Subset(loader.dataset, rows.tolist()),
        shuffle=type(loader.sampler) is RandomSampler,
        drop_last=loader.drop_last and len(rows) >= (loader.batch_size or 1),
        generator=None if loader.generator is None else torch.Generator(),
    )
