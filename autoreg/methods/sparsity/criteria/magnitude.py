"""The size of a weight."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from autoreg.methods.base import method
from autoreg.methods.sparsity.criteria.stats import Stats
from autoreg.space.spec import Paper

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@method(
    "magnitude",
    kind="criterion",
    catalogue=[110],
    paper=Paper(
        "Learning both Weights and Connections for Efficient Neural Networks",
        "Han et al.",
        2015,
        arxiv="1506.02626",
        checked="scores by hand",
    ),
)
class Magnitude:
    """Scores a weight by |w|."""

    needs: ClassVar[tuple[str, ...]] = ()
    comparison: ClassVar[str] = "layer"

    def score(self, weight: Tensor, stats: Stats | None = None, generator: torch.Generator | None = None) -> Tensor:
        """|w|, shaped like the weight."""
        return weight.abs()
