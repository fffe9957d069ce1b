"""A loader of tensors in memory: batches are sliced, not collated, and shuffled from a seed of their own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from autoreg.errors import InputError

_Rows = tuple[Tensor, ...]


def _as_is(batch: Any) -> Any:
    return batch


class RowDataset(Dataset[_Rows]):
    """Rows of tensors of equal length; `dataset[positions]` gives a whole batch at once.

    Args:
        tensors: at least one tensor, each with the samples along its first dimension.
        indices: which rows belong to this data set, int64 [n]; all when None. They also tell
            `check_task` that two splits of the same tensors are disjoint.
    """

    def __init__(self, tensors: Sequence[Tensor], indices: Tensor | None = None) -> None:
        lengths = {len(tensor) for tensor in tensors}
        if len(lengths) != 1:
            raise InputError(f"data set: tensors of lengths {sorted(lengths)}; expected one length")
        self.tensors = tuple(tensors)
        rows = torch.arange(lengths.pop()) if indices is None else indices.to(torch.long)
        self.indices = rows

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, positions: Any) -> _Rows:
        rows = self.indices[positions]
        return tuple(tensor[rows] for tensor in self.tensors)


class EvenBatches(Sampler[Tensor]):
    """Positions of batches of nearly equal size, none larger than `batch_size`.

    Equal sizes leave no last batch of one sample, on which batch norm would fail. `samples` draws
    only so many of the `count` positions per epoch (with replacement when there are fewer).
    """

    def __init__(
        self, count: int, batch_size: int, shuffle: bool, generator: torch.Generator, samples: int | None = None
    ) -> None:
        if count < 1 or batch_size < 1 or (samples is not None and samples < 1):
            raise InputError(
                f"loader: {count} samples in batches of {batch_size}, {samples} an epoch; all must be at least 1"
            )
        self.count, self.batch_size, self.shuffle, self.generator = count, batch_size, shuffle, generator
        self.samples = count if samples is None else samples

    def __len__(self) -> int:
        return -(-self.samples // self.batch_size)

    def __iter__(self) -> Iterator[Tensor]:
        return iter(self._order().tensor_split(len(self)))

    def _order(self) -> Tensor:
        if not self.shuffle:
            return torch.arange(self.samples) % self.count
        if self.samples == self.count:
            return torch.randperm(self.count, generator=self.generator)
        return torch.randint(self.count, (self.samples,), generator=self.generator)


class BatchLoader(DataLoader[_Rows]):
    """A `DataLoader` over tensors in memory whose shuffling is a function of its own seed.

    Batches are tuples of tensors in the order given. The order of the samples depends on nothing
    but `set_seed` and on how often the loader was iterated since: torch's global generator is
    neither read nor moved. The trainer calls `set_seed` once at the start of each phase.

    Args:
        tensors: inputs, ..., targets; samples along the first dimension.
        batch_size: largest size of a batch, >= 1; batches differ by at most one sample.
        shuffle: a new order at each iteration.
        indices: rows that belong to this split, int64 [n].
        samples: samples per epoch when not all of them, drawn with replacement if shuffled.
        seed: what `set_seed` is called with at first.
    """

    def __init__(
        self,
        *tensors: Tensor,
        batch_size: int,
        shuffle: bool = False,
        indices: Tensor | None = None,
        samples: int | None = None,
        seed: int = 0,
    ) -> None:
        data = RowDataset(tensors, indices)
        generator = torch.Generator()
        sampler = EvenBatches(len(data), batch_size, shuffle, generator, samples)
        super().__init__(data, batch_size=None, sampler=sampler, collate_fn=_as_is, generator=generator)
        self.rows, self.order = data, sampler
        self.set_seed(seed)

    def set_seed(self, seed: int) -> None:
        """Start the sequence of shuffles anew from `seed`, any integer."""
        generator = self.generator
        assert generator is not None
        generator.manual_seed(seed % 2**63)
