"""What a network is called with: calling it, the tensors inside, the samples. Loads without torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from autoreg.lazy import lazy_module

if TYPE_CHECKING:
    import torch
    from torch.nn.utils import rnn
    from torch.utils import _pytree as pytree
else:
    torch = lazy_module("torch")
    rnn = lazy_module("torch.nn.utils.rnn")
    pytree = lazy_module("torch.utils._pytree")


def call(model: torch.nn.Module, example_input: Any) -> Any:
    """Call `model` on a tensor, on a tuple or list of positional or a mapping of keyword arguments."""
    if isinstance(example_input, Mapping):
        return model(**example_input)
    if isinstance(example_input, tuple | list) and not isinstance(example_input, rnn.PackedSequence):
        return model(*example_input)
    return model(example_input)


def tensors(value: Any) -> list[torch.Tensor]:
    """All tensors in a nested structure, in a fixed order."""
    return [leaf for leaf in pytree.tree_leaves(value) if isinstance(leaf, torch.Tensor)]


def named_tensors(example_input: Any) -> dict[str, torch.Tensor]:
    """The tensors of a mapping in its order, by key; those of a nested value by `KEY_0`, `KEY_1`, ...; else none."""
    found: dict[str, torch.Tensor] = {}
    for key, value in example_input.items() if isinstance(example_input, Mapping) else ():
        parts = tensors(value)
        found |= (
            {str(key): value} if isinstance(value, torch.Tensor) else {f"{key}_{i}": v for i, v in enumerate(parts)}
        )
    return found


def batch_size(example_input: Any) -> int:
    """Samples in an example input: the first dimension of its first tensor with one."""
    if isinstance(example_input, tuple | list) and example_input and isinstance(example_input[0], rnn.PackedSequence):
        example_input = example_input[0]
    if isinstance(example_input, rnn.PackedSequence):
        return int(example_input.batch_sizes[0])
    return next((int(tensor.shape[0]) for tensor in tensors(example_input) if tensor.dim() > 0), 1)
