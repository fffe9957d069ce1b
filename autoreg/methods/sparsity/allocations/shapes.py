"""What allocations share: the shape of a layer, and ranking over all layers at once."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from autoreg.errors import InputError
from autoreg.lazy import lazy_module
from autoreg.methods.sparsity.allocations.remembered import remembered
from autoreg.methods.sparsity.counts import check_amount, retained_count
from autoreg.space import LayerInfo, layer_values

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = lazy_module("torch")

NO_CURVES = (
    "allocation 'sensitivity' needs the curves of a task's dense network; in a loop of your own say what each layer "
    "gets (allocation: each_layer, or bits: {per_layer: ...})"
)
"""Says that a rule looks at distortion curves where there are none."""


@dataclass(frozen=True)
class LayerShape:
    """A layer to be sparsified, or a group of coupled channels: then `shape` is (channels, weights per channel)."""

    name: str
    shape: tuple[int, ...]
    groups: int = 1
    type: str = ""

    @property
    def numel(self) -> int:
        """Number of weights."""
        return math.prod(self.shape)


def amounts_by_layer(amount: Any, layers: Sequence[LayerShape]) -> Any:
    """The amount of a recipe: one number as it is, one by pattern as a mapping by layer name."""
    if not isinstance(amount, Mapping):
        return amount
    return layer_values(amount, [LayerInfo(layer.name, layer.type) for layer in layers])


def one_amount(rule: str, amount: float | Mapping[str, Any]) -> float:
    """Return the share of a rule that divides one number among the layers.

    Raises:
        InputError: if it is given per layer, or is not in [0, 1).
    """
    if isinstance(amount, Mapping):
        raise InputError(f"allocation {rule!r} divides one amount; for an amount per layer use allocation: each_layer")
    return check_amount(amount)


def rank_globally(layers: Sequence[LayerShape], amount: float, scores: Mapping[str, Tensor]) -> dict[str, float]:
    """Keep what scores highest over all layers together, and in each layer at least its best.

    Ties keep what comes first. The number retained in all is exactly `retained_count` of all, but at least one a layer.

    Args:
        layers: in order.
        amount: share removed of all that is scored, in [0, 1).
        scores: by layer name, any shape.

    Returns:
        Share removed by layer name, a multiple of 1 / number of scores of the layer.

    Raises:
        InputError: if a layer has no scores.
    """
    missing = [layer.name for layer in layers if layer.name not in scores]
    if missing:
        raise InputError(f"allocation: no scores for {', '.join(missing)}")
    if not layers:
        return {}
    given = [scores[layer.name] for layer in layers]
    owners = remembered("owners", given, lambda: _owners_by_rank(given))
    keep = max(len(layers), retained_count(len(owners), amount))
    retained = torch.bincount(owners[:keep], minlength=len(layers)).tolist()
    return {
        layer.name: (values.numel() - count) / values.numel()
        for layer, values, count in zip(layers, given, retained, strict=True)
    }


def _owners_by_rank(scores: Sequence[Tensor]) -> Tensor:
    """By rank, the best of each layer first, then by score: the number of the layer that a score belongs to."""
    ranked = []
    for given in scores:
        values = given.detach().flatten().double().cpu().clone()
        values[int(values.argmax())] = math.inf
        ranked.append(values)
    order = torch.argsort(torch.cat(ranked), descending=True, stable=True)
    sizes = torch.tensor([values.numel() for values in ranked])
    return torch.repeat_interleave(torch.arange(len(ranked), dtype=torch.int32), sizes)[order]
