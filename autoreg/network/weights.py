"""The weight of one layer. Loads without torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autoreg.lazy import lazy_module

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn
else:
    torch = lazy_module("torch")


def weight_of(module: nn.Module) -> Tensor:
    """The weight of a weighted layer as its forward pass sees it."""
    weight = module.weight
    assert isinstance(weight, torch.Tensor)
    return weight
