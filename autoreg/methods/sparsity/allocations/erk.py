"""Erdős-Rényi-Kernel densities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from autoreg.methods.base import method
from autoreg.methods.sparsity.allocations.shapes import LayerShape, one_amount
from autoreg.space.spec import Paper

if TYPE_CHECKING:
    from torch import Tensor


def erk_densities(shapes: Sequence[Sequence[int]], density: float) -> list[float]:
    """Densities in proportion to Σ dims / Π dims, scaled so that the density over all is `density`.

    Layers that would exceed 1 become dense, and what they cannot take goes to the others.

    Args:
        shapes: shapes of the weights, [out, in] or [out, in, *kernel].
        density: share retained of all weights, in (0, 1].

    Returns:
        Share retained of each, in (0, 1].

    Example:
        >>> erk_densities([(4, 4), (8, 2)], 0.5)  # Σ/Π = 8/16 and 10/16: ε·(8 + 10) = 0.5·32
        [0.4444444444444444, 0.5555555555555556]
    """
    sizes = [_product(shape) for shape in shapes]
    dense: set[int] = set()
    budget = density * sum(sizes)
    while True:
        free = [i for i in range(len(shapes)) if i not in dense]
        scale = (budget - sum(sizes[i] for i in dense)) / max(1, sum(sum(shapes[i]) for i in free))
        over = {i for i in free if scale * sum(shapes[i]) > sizes[i]}
        if not over:
            return [1.0 if i in dense else scale * sum(shape) / sizes[i] for i, shape in enumerate(shapes)]
        dense |= over


def _product(shape: Sequence[int]) -> int:
    count = 1
    for size in shape:
        count *= size
    return count


@method(
    "erk",
    kind="allocation",
    catalogue=[115, 109],
    paper=Paper(
        "Rigging the Lottery: Making All Tickets Winners",
        "Evci et al.",
        2019,
        arxiv="1911.11134",
        checked="densities by hand, with and without layers that become dense",
    ),
)
class Erk:
    """Keeps more of small layers: densities in proportion to Σ dims / Π dims, over-full layers made dense.

    For groups of coupled channels the amount is the share of their weights, not of channels.
    """

    needs: ClassVar[tuple[str, ...]] = ()
    same_for_all: ClassVar[bool] = False

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
        densities = erk_densities([layer.shape for layer in layers], 1.0 - one_amount("erk", amount))
        return {layer.name: max(0.0, 1.0 - density) for layer, density in zip(layers, densities, strict=True)}
