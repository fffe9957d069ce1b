"""Ranks by a budget of weights."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

from autoreg.methods.base import method
from autoreg.methods.sparsity.allocations.shapes import LayerShape
from autoreg.methods.sparsity.counts import check_amount
from autoreg.space.spec import Paper, uniform

if TYPE_CHECKING:
    from torch import Tensor


def budget_rank(shape: Sequence[int], amount: float) -> int:
    """The largest rank whose factors hold at most the share 1 − amount of the weights; at least 1.

    Two factors of rank r of a weight [out, in, *kernel] hold r · (out + in · kernel) weights.

    >>> budget_rank((16, 8, 3, 3), 0.5), budget_rank((10, 4), 0.9)
    (6, 1)
    """
    weights = math.prod(shape)
    each = shape[0] + weights // shape[0]
    return max(1, math.floor((1.0 - check_amount(amount)) * weights / each + 1e-9))  # 0.3 · 10 is 3, not below it


@method(
    "budget",
    kind="rank",
    catalogue=[152],
    paper=Paper(
        "Sparse Iso-FLOP Transformations for Maximizing Training Efficiency",
        "Thangarasa et al.",
        2023,
        arxiv="2303.11525",
        checked="ranks by hand: (1 − amount) · in · out / (in + out), rounded down; the paper trains such layers from "
        "scratch, here trained ones are factored",
    ),
)
class RankBudget:
    """Every layer keeps the largest rank at which the share `amount` of its weights leaves."""

    needs: ClassVar[tuple[str, ...]] = ()
    amount: float = uniform(
        0.1, 0.8, default=0.5, min=0.0, max=0.99, doc="share of the weights of the layers that can be factored"
    )

    def ranks(self, layers: Sequence[LayerShape], spectra: Mapping[str, Tensor] | None = None) -> dict[str, int]:
        """Rank by layer name."""
        return {layer.name: budget_rank(layer.shape, self.amount) for layer in layers}
