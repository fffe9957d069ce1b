"""Dividing data, and what is common to the loaders of all tasks."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from autoreg.errors import InputError
from autoreg.lazy import lazy_module
from autoreg.tasks.batches import batch_size_of

if TYPE_CHECKING:
    import torch
    from numpy.typing import ArrayLike, NDArray

    from autoreg.tasks import loader
else:
    torch, loader = lazy_module("torch"), lazy_module("autoreg.tasks.loader")

SPLITS = ("train", "calibration", "validation", "test")


def named_sets(split: Any, default: str = "all") -> dict[str, Iterable[Any]]:
    """The loaders of a split by name: a mapping as it is, a single loader under `default`."""
    if isinstance(split, Mapping):
        return {str(name): loader for name, loader in split.items()}
    return {default: split}


def sample_count(split: Any) -> int | None:
    """How many samples the loaders of a split give in one pass; None where one of them does not say.

    None is read for it: a `BatchLoader` and the data set of a torch `DataLoader` know, and batches in a list show it.
    """
    counts = [_samples_of(one) for one in named_sets(split).values()]
    return None if None in counts else sum(count for count in counts if count is not None)


def _samples_of(one: Any) -> int | None:
    if isinstance(one, loader.BatchLoader):
        return one.order.samples
    if isinstance(one, list | tuple):
        return sum(batch_size_of(batch) for batch in one)
    try:
        return len(one.dataset)
    except (AttributeError, TypeError):
        return None


def seed_loaders(loaders: Any, seed: int) -> None:
    """Make the order of the samples of every loader a function of `seed`.

    A loader with `set_seed(int)` gets a seed derived from `seed` and its place; another with a
    `generator` of its own (a torch `DataLoader`) has that one seeded. Loaders with neither draw
    from torch's global generator, which the caller seeds.

    Args:
        loaders: a loader, or a mapping from names to loaders or to further mappings.
        seed: any integer.
    """
    if isinstance(loaders, Mapping):
        for name, loader in loaders.items():
            text = hashlib.sha256(f"{seed}/{name}".encode()).digest()
            seed_loaders(loader, int.from_bytes(text[:8], "little") >> 1)
    elif hasattr(loaders, "set_seed"):
        loaders.set_seed(seed)
    elif getattr(loaders, "generator", None) is not None:
        loaders.generator.manual_seed(seed % 2**63)


def stratified_order(labels: ArrayLike, seed: int) -> NDArray[np.int64]:
    """An order of all samples in which every stretch holds the classes in nearly their true proportions.

    Samples of a class are shuffled and spread evenly over (0, 1); the order is that of these places.

    Args:
        labels: [n], any values that can be compared.
        seed: seeds the shuffling.

    Returns:
        A permutation of range(n), int64 [n].
    """
    values = np.asarray(labels)
    rng = np.random.default_rng(seed)
    place = np.empty(len(values), dtype=np.float64)
    for label in np.unique(values):
        members = rng.permutation(np.flatnonzero(values == label))
        place[members] = (np.arange(len(members)) + rng.uniform(0.0, 1.0)) / len(members)
    return np.argsort(place, kind="stable").astype(np.int64)


def cut(order: NDArray[np.int64], sizes: Sequence[int]) -> list[NDArray[np.int64]]:
    """Consecutive stretches of `order` of the given sizes.

    Raises:
        InputError: if a size is below 1 or they sum to more than there is.
    """
    if min(sizes) < 1 or sum(sizes) > len(order):
        raise InputError(f"splits: sizes {list(sizes)} of {len(order)} samples; each must be at least 1")
    ends = np.cumsum(sizes)
    return [order[end - size : end] for end, size in zip(ends, sizes, strict=True)]


def split_loaders(
    x: ArrayLike,
    y: ArrayLike,
    *,
    batch_size: int = 32,
    fractions: Sequence[float] = (0.5, 0.1, 0.2, 0.2),
    seed: int = 0,
    standardize: bool = False,
) -> dict[str, loader.BatchLoader]:
    """Stratified, disjoint loaders for the four splits of labelled data in memory.

    Args:
        x: inputs [n, ...], given to the model as float32.
        y: class labels [n], whole numbers.
        batch_size: largest batch.
        fractions: of train, calibration, validation and test; positive, summing to at most 1.
        seed: of the division: part of the task, never of a study.
        standardize: subtract the mean of the training samples and divide by their standard deviation, by column.

    Returns:
        "train" (shuffled), "calibration", "validation" and "test".

    Raises:
        InputError: if the fractions do not fit the data.
    """
    inputs, labels = np.asarray(x, dtype=np.float32), np.asarray(y, dtype=np.int64)
    if len(fractions) != 4 or min(fractions) <= 0 or sum(fractions) > 1 + 1e-9:
        raise InputError(f"fractions: found {list(fractions)}; expected four positive numbers that sum to at most 1")
    order = stratified_order(labels, seed)
    ends = [int(end) for end in np.floor(np.cumsum(fractions) * len(labels) + 1e-6)]
    parts = cut(order, np.diff([0, *ends]).tolist())
    if standardize:
        mean, std = inputs[parts[0]].mean(axis=0), inputs[parts[0]].std(axis=0)
        inputs = (inputs - mean) / np.where(std > 0, std, 1.0)
    tensors = torch.from_numpy(inputs), torch.from_numpy(labels)
    return {
        name: loader.BatchLoader(
            *tensors, batch_size=batch_size, shuffle=name == "train", indices=torch.from_numpy(rows), seed=0
        )
        for name, rows in zip(SPLITS, parts, strict=True)
    }
