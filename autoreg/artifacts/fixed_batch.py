"""A network whose file takes a fixed number of samples, called with any number of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_map, tree_unflatten

from autoreg.network.inputs import batch_size


def in_fixed_batches(run: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any], batch: int) -> Any:
    """Call `run` with `batch` samples at a time; the last call is filled up with copies of the last sample.

    Args:
        run: takes and gives tensors, or structures of them; those with an entry per sample have it along dimension 0.
        args: by position.
        kwargs: by name.
        batch: samples in one call.

    Returns:
        What one call with all samples would give.
    """
    given = (args, dict(kwargs))
    size = batch_size(given)
    if size == batch:
        return run(*args, **kwargs)
    parts: list[list[Any]] = []
    spec: Any = None
    for start in range(0, size, batch):
        rows = torch.arange(start, start + batch).clamp(max=size - 1)
        some, named = tree_map(lambda value, rows=rows: value[rows] if _per_sample(value, size) else value, given)
        leaves, spec = tree_flatten(run(*some, **named))
        parts.append([leaf[: size - start] if _per_sample(leaf, batch) else leaf for leaf in leaves])
    whole = [torch.cat(list(same)) if _joins(same[0]) else same[0] for same in zip(*parts, strict=True)]
    return tree_unflatten(whole, spec)


class FixedBatch(nn.Module):
    """A module that takes a fixed number of samples, for any number of them.

    Args:
        module: what is called.
        batch: samples that it takes.
    """

    def __init__(self, module: nn.Module, batch: int) -> None:
        super().__init__()
        self.module, self.batch = module, batch

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """As the module, with any number of samples."""
        return in_fixed_batches(self.module, args, kwargs, self.batch)


def _per_sample(value: Any, size: int) -> bool:
    return isinstance(value, Tensor) and value.dim() > 0 and value.shape[0] == size


def _joins(value: Any) -> bool:
    return isinstance(value, Tensor) and value.dim() > 0
