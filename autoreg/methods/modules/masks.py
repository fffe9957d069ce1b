"""The parametrization that masks a weight."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Mask(nn.Module):
    """Multiplies a weight by a fixed 0/1 mask; the weight beneath is kept as it is.

    Args:
        mask: bool, shaped like the weight; True stays.
    """

    mask: Tensor

    def __init__(self, mask: Tensor) -> None:
        super().__init__()
        self.register_buffer("mask", mask.clone())

    def forward(self, weight: Tensor) -> Tensor:
        """The masked weight; gradients reach only what stays."""
        return torch.where(self.mask, weight, torch.zeros((), dtype=weight.dtype, device=weight.device))

    def right_inverse(self, weight: Tensor) -> Tensor:
        """What to keep beneath so that an assigned weight is seen through the mask: the weight itself."""
        return weight
