"""The lasso on weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from autoreg.lazy import lazy_module
from autoreg.methods.base import method
from autoreg.methods.state import State
from autoreg.space.spec import Paper, log

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = lazy_module("torch")


def mean_absolute(weights: Sequence[Tensor]) -> Tensor:
    """Mean of |w| over all elements of all tensors, a scalar.

    Args:
        weights: tensors of any shapes, at least one.
    """
    total = torch.stack([w.abs().sum() for w in weights]).sum()
    return total / sum(w.numel() for w in weights)


@method(
    "l1",
    kind="regularizer",
    catalogue=[21],  # no row is the plain lasso; 21 (CoLiDE) is the nearest that uses lambda * ||W||_1
    paper=Paper(
        "Regression shrinkage and selection via the lasso",
        "Tibshirani",
        1996,
        doi="10.1111/j.2517-6161.1996.tb02080.x",
        checked="value and gradient by hand",
    ),
)
class L1:
    """Adds strength × mean|w| over the weights of all weighted layers.

    The mean, not the sum: the term keeps its size beside the task's loss when the network grows.
    In the usual form λ·Σ|w| this is λ = strength / number of weights.
    """

    strength: float = log(1e-1, 3e1, doc="factor on the mean absolute weight")

    def loss(self, state: State) -> Tensor:
        """The term."""
        return self.strength * mean_absolute([w for _, w in state.weights()])
