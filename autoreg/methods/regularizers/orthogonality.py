"""Soft orthogonality of the rows of a weight."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autoreg.lazy import lazy_module
from autoreg.methods.base import method
from autoreg.methods.state import State
from autoreg.methods.weights import outputs_first
from autoreg.network.weights import weight_of
from autoreg.space.spec import Paper, log

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = lazy_module("torch")


def gram_deviation(weight: Tensor) -> Tensor:
    """The matrix G − I, where G holds the inner products of a weight's rows (of its columns where those are fewer).

    Args:
        weight: [out, in, ...]; read as a matrix [out, in·kernel].

    Returns:
        [n, n] with n = min(out, in·kernel): all zeros when rows (or columns) are orthonormal.
    """
    matrix = weight.flatten(1)
    if matrix.shape[0] > matrix.shape[1]:
        matrix = matrix.T
    return matrix @ matrix.T - torch.eye(matrix.shape[0], dtype=weight.dtype, device=weight.device)


@method(
    "orthogonality",
    kind="regularizer",
    catalogue=[6],  # group orthogonalization, with one group
    paper=Paper(
        "Can We Gain More from Orthogonality Regularizations in Training Deep CNNs?",
        "Bansal, Chen, Wang",
        2018,
        arxiv="1810.09102",
        checked="zero on orthonormal rows; value by hand",
    ),
)
class Orthogonality:
    """Adds strength × the mean of (WWᵀ − I)² over the elements of all Gram matrices: rows become orthonormal.

    Where a weight has more rows than columns, its columns are taken, since so many rows cannot be orthonormal.
    """

    strength: float = log(1e-1, 1e2, doc="factor on the mean squared deviation")

    def loss(self, state: State) -> Tensor:
        """The term."""
        deviations = [gram_deviation(outputs_first(weight_of(module), module)) for _, module in state.layers()]
        total = torch.stack([d.square().sum() for d in deviations]).sum()
        return self.strength * total / sum(d.numel() for d in deviations)
