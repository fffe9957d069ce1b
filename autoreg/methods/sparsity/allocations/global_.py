"""One ranking over all layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from autoreg.errors import InputError
from autoreg.methods.base import method
from autoreg.methods.sparsity.allocations.shapes import LayerShape, one_amount, rank_globally
from autoreg.space.spec import Paper

if TYPE_CHECKING:
    from torch import Tensor


@method(
    "global",
    kind="allocation",
    catalogue=[109],  # the row's code holds this rule as a baseline
    paper=Paper(
        "What is the State of Neural Network Pruning?",
        "Blalock et al.",
        2020,
        arxiv="2003.03033",
        checked="counts by hand",
    ),
)
class Global:
    """Removes what scores lowest over all layers together, and leaves every layer at least its best.

    Scores of different layers are compared as they are. With channels, they compete over all coupled groups.
    """

    needs: ClassVar[tuple[str, ...]] = ("scores",)
    same_for_all: ClassVar[bool] = False

    def levels(
        self,
        layers: Sequence[LayerShape],
        amount: float | Mapping[str, Any],
        scores: Mapping[str, Tensor] | None = None,
    ) -> dict[str, float]:
        """Share removed by layer name.

        Raises:
            InputError: without scores, or if the amount is given per layer or not in [0, 1).
        """
        if scores is None:
            raise InputError("allocation 'global' needs the scores of a reference")
        return rank_globally(layers, one_amount("global", amount), scores)
