"""A share per layer, free or written by a solver."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from autoreg.errors import InputError
from autoreg.methods.base import method
from autoreg.methods.sparsity.allocations.shapes import LayerShape
from autoreg.methods.sparsity.counts import check_amount
from autoreg.space.spec import Paper

if TYPE_CHECKING:
    from torch import Tensor


@method(
    "each_layer",
    kind="allocation",
    catalogue=[250],  # the nearest: evolves one ratio per pair of blocks
    paper=Paper(
        "AMC: AutoML for Model Compression and Acceleration on Mobile Devices",
        "He et al.",
        2018,
        arxiv="1802.03494",
        checked="takes what it is given",
    ),
)
class EachLayer:
    """Removes from every layer the share that `amount` gives it; one number means the same for all."""

    needs: ClassVar[tuple[str, ...]] = ()
    same_for_all: ClassVar[bool] = False

    def levels(
        self,
        layers: Sequence[LayerShape],
        amount: float | Mapping[str, Any],
        scores: Mapping[str, Tensor] | None = None,
    ) -> dict[str, float]:
        """Share removed by layer name.

        Args:
            layers: in order.
            amount: by layer name, each in [0, 1).
            scores: not looked at.

        Raises:
            InputError: if a layer has no amount, or one is not in [0, 1).
        """
        if not isinstance(amount, Mapping):
            return {layer.name: check_amount(amount) for layer in layers}
        missing = [layer.name for layer in layers if layer.name not in amount]
        if missing:
            raise InputError(f"allocation 'each_layer': no amount for {', '.join(missing)}")
        return {layer.name: check_amount(amount[layer.name]) for layer in layers}
