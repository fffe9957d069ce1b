"""A batch may be a tensor, a tuple or a mapping: the few places that must know which.

The first entry of a tuple is the input and the last the target; a mapping is given to the model
by keywords, as `transformers` models want it, and its target stands under one of `TARGET_KEYS`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from autoreg.errors import InputError
from autoreg.lazy import lazy_module

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = lazy_module("torch")

TARGET_KEYS = ("labels", "label", "targets", "target", "y")


def inputs_of(batch: Any) -> Any:
    """What the model is called with: the first entry of a tuple or list; a tensor or mapping as it is."""
    if isinstance(batch, (tuple, list)):
        if not batch:
            raise InputError("batch: an empty tuple; expected (inputs, ..., targets)")
        return batch[0]
    return batch


def targets_of(batch: Any) -> Any:
    """The targets of a batch: the last entry of a tuple, or a mapping's `labels` (or another of `TARGET_KEYS`).

    Raises:
        InputError: if the batch carries no targets, as a bare tensor does.
    """
    if isinstance(batch, (tuple, list)) and len(batch) > 1:
        return batch[-1]
    if isinstance(batch, Mapping):
        for key in TARGET_KEYS:
            if key in batch:
                return batch[key]
        raise InputError(
            f"batch: no targets among the keys {', '.join(map(str, batch))}; expected one of {', '.join(TARGET_KEYS)}"
        )
    raise InputError(
        f"batch: no targets in a {type(batch).__name__}; expected a tuple (inputs, targets) or a mapping, "
        "or a task with its own `loss` and `metrics`"
    )


def to_device(batch: Any, device: torch.device | str) -> Any:
    """The batch with every tensor on `device`; containers keep their type, other values stay as they are."""
    if isinstance(batch, torch.Tensor):
        return batch.to(device, non_blocking=True)
    if isinstance(batch, Mapping):
        moved = {key: to_device(value, device) for key, value in batch.items()}
        return moved if type(batch) is dict else type(batch)(moved)  # type: ignore[call-arg]
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return type(batch)(*(to_device(value, device) for value in batch))
    if isinstance(batch, (tuple, list)):
        return type(batch)(to_device(value, device) for value in batch)
    return batch


def tensors_of(batch: Any) -> list[Tensor]:
    """All tensors of a batch, in order; keys of a mapping in their own order."""
    if isinstance(batch, torch.Tensor):
        return [batch]
    values = batch.values() if isinstance(batch, Mapping) else batch if isinstance(batch, (tuple, list)) else ()
    return [tensor for value in values for tensor in tensors_of(value)]


def batch_size_of(batch: Any) -> int:
    """Number of samples in a batch: the length of its first tensor that has a dimension.

    Raises:
        InputError: if there is no such tensor.
    """
    for tensor in tensors_of(batch):
        if tensor.dim() > 0:
            return int(tensor.shape[0])
    raise InputError(f"batch: no tensor with a batch dimension in a {type(batch).__name__}")


def take(batch: Any, rows: slice | Tensor) -> Any:
    """The samples `rows` of a batch: every tensor with a dimension is indexed along its first."""
    if isinstance(batch, torch.Tensor):
        return batch[rows] if batch.dim() > 0 else batch
    if isinstance(batch, Mapping):
        return {key: take(value, rows) for key, value in batch.items()}
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return type(batch)(*(take(value, rows) for value in batch))
    if isinstance(batch, (tuple, list)):
        return type(batch)(take(value, rows) for value in batch)
    return batch


def repeat(inputs: Any, count: int) -> Any:
    """A batch of `count` samples made by repeating the first sample of `inputs`."""
    return take(inputs, torch.zeros(count, dtype=torch.long))


def call_model(model: torch.nn.Module, inputs: Any) -> Any:
    """Call a model: a mapping by keywords, a tuple or list by position, anything else as the one argument."""
    if isinstance(inputs, Mapping):
        return model(**inputs)
    if isinstance(inputs, (tuple, list)):
        return model(*inputs)
    return model(inputs)


def logits_of(output: Any) -> Tensor:
    """The logits of a model's output: the tensor itself, its `logits` (attribute or key), or a tuple's first entry."""
    if isinstance(output, torch.Tensor):
        return output
    logits = getattr(output, "logits", None)
    if logits is None and isinstance(output, Mapping):
        logits = output.get("logits")
    if logits is None and isinstance(output, (tuple, list)) and output:
        logits = output[0]
    if not isinstance(logits, torch.Tensor):
        raise InputError(
            f"model output: no logits in a {type(output).__name__}; expected a tensor or an object with `.logits`"
        )
    return logits
