"""First-order Taylor expansion of the loss."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from autoreg.errors import InputError
from autoreg.methods.base import method
from autoreg.methods.sparsity.criteria.stats import Stats
from autoreg.space.spec import Paper

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@method(
    "taylor",
    kind="criterion",
    catalogue=[151],  # sums |w·g| over coupled groups, there on a disturbed objective
    paper=Paper(
        "Importance Estimation for Neural Network Pruning",
        "Molchanov et al.",
        2019,
        arxiv="1906.10771",
        checked="scores by hand on a linear model; |w·g| where the paper squares, which ranks alike on one batch",
    ),
)
class Taylor:
    """Scores a weight by |w·g|, the first-order change of the loss when it goes, averaged over calibration batches."""

    needs: ClassVar[tuple[str, ...]] = ("gradients",)
    comparison: ClassVar[str] = "layer"

    def score(self, weight: Tensor, stats: Stats | None = None, generator: torch.Generator | None = None) -> Tensor:
        """The scores, shaped like the weight.

        Raises:
            InputError: without gradients.
        """
        if stats is None or stats.gradient is None:
            raise InputError("criterion 'taylor' needs gradients: collect(..., needs=('gradients',))")
        return (weight * stats.gradient).abs()
