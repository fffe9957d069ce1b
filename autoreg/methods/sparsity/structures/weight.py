"""Single weights, anywhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from autoreg.methods.base import method
from autoreg.methods.sparsity.allocations.shapes import LayerShape, amounts_by_layer
from autoreg.methods.sparsity.counts import retained_count
from autoreg.methods.sparsity.structures.masked import MaskedStructure
from autoreg.methods.sparsity.structures.picking import top_mask
from autoreg.methods.sparsity.structures.structure import DenseReference
from autoreg.space.spec import Paper, slot, uniform

if TYPE_CHECKING:
    from torch import Tensor


@method(
    "weight",
    kind="structure",
    phrase=("weight", "{amount:%}", "{criterion}/{allocation}", "{schedule}"),
    catalogue=[110, 109],
    paper=Paper(
        "Learning both Weights and Connections for Efficient Neural Networks",
        "Han et al.",
        2015,
        arxiv="1506.02626",
        checked="exact counts, ties by place",
    ),
)
class Weight(MaskedStructure):
    """Masks single weights. Zeros in no pattern give no speed on dense kernels; they save bytes."""

    criterion: Any = slot("criterion", "magnitude", "wanda", "taylor", default="magnitude", doc="which weights go")
    allocation: Any = slot("allocation", "uniform", "erk", "global", "lamp", default="uniform", doc="how many go where")
    amount: Any = uniform(
        0.3, 0.95, default=0.5, min=0.0, max=0.999, per_layer=True, doc="share of weights removed among all layers"
    )
    schedule: Any = slot("schedule", "one_shot", "gradual", default="one_shot", doc="when they go")

    def retained(self, layers: Sequence[LayerShape], reference: DenseReference) -> dict[str, int]:
        """How many weights stay, by layer: what the allocation leaves of each.

        Raises:
            InputError: the allocation lacks what it looks at, or refuses the amount.
        """
        given: Mapping[str, Any] | None = None
        if "scores" in self.allocation.needs:
            given = reference.scores(self.criterion)
        elif "curves" in self.allocation.needs:
            given = reference.curves(self)
        removed = self.allocation.levels(layers, amounts_by_layer(self.amount, layers), given)
        return {layer.name: retained_count(layer.numel, removed[layer.name]) for layer in layers}

    def mask(self, scores: Tensor, retained: int) -> Tensor:
        """The weights of one layer that stay, as a bool tensor; exactly `retained`.

        Where the criterion compares rows, the outputs of a linear layer keep equally many (but for the remainder).
        """
        return top_mask(scores, retained, rows=self.criterion.comparison == "row" and scores.ndim == 2)
