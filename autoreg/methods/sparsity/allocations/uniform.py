"""The same share everywhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from autoreg.methods.base import method
from autoreg.methods.sparsity.allocations.shapes import LayerShape, one_amount
from autoreg.space.spec import Paper

if TYPE_CHECKING:
    from torch import Tensor


@method(
    "uniform",
    kind="allocation",
    catalogue=[115],
    paper=Paper(
        "To prune, or not to prune: exploring the efficacy of pruning for model compression",
        "Zhu, Gupta",
        2017,
        arxiv="1710.01878",
        checked="by hand",
    ),
)
class Uniform:
    """Removes the same share from every layer."""

    needs: ClassVar[tuple[str, ...]] = ()
    same_for_all: ClassVar[bool] = True

    def levels(
        self,
        layers: Sequence[LayerShape],
        amount: float | Mapping[str, Any],
        scores: Mapping[str, Tensor] | None = None,
    ) -> dict[str, float]:
        """Share removed by layer name.

        Raises:
            InputError: if the amount is given per layer or not in [0, 1).
        """
        share = one_amount("uniform", amount)
        return {layer.name: share for layer in layers}

    def bits(
        self, sizes: Mapping[str, int], bits: int | Mapping[str, int], curves: Mapping[str, Any] | None = None
    ) -> dict[str, int]:
        """Bits by layer name: the same for all, or what each is given.

        Args:
            sizes: weights that are stored, by layer.
            bits: of every weight, or by layer.
            curves: not looked at.
        """
        return {name: bits[name] if isinstance(bits, Mapping) else bits for name in sizes}
