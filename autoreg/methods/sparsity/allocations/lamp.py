"""Layer-adaptive magnitude."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from autoreg.errors import InputError
from autoreg.lazy import lazy_module
from autoreg.methods.base import method
from autoreg.methods.sparsity.allocations.remembered import remembered
from autoreg.methods.sparsity.allocations.shapes import LayerShape, one_amount, rank_globally
from autoreg.space.spec import Paper

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = lazy_module("torch")


def lamp_scores(scores: Tensor) -> Tensor:
    """LAMP score of every weight: its square over the sum of the squares that are no smaller, itself included.

    Args:
        scores: |w|, or another score that is not negative; any shape.

    Returns:
        float64 in [0, 1], shaped like `scores`; the largest has 1. Of equal ones, the first counts as larger.

    Example:
        >>> import torch
        >>> lamp_scores(torch.tensor([1.0, 3.0, 2.0])) * 182  # 1/14, 9/9 and 4/13
        tensor([ 13., 182.,  56.], dtype=torch.float64)
    """
    squares = scores.flatten().double().square()
    order = torch.argsort(squares, descending=True, stable=True)
    ranked = squares[order]
    tail = torch.cumsum(ranked, 0)
    found = torch.zeros_like(squares)
    found[order] = torch.where(tail > 0, ranked / tail.clamp_min(torch.finfo(torch.float64).tiny), 0.0)
    return found.reshape(scores.shape)


@method(
    "lamp",
    kind="allocation",
    catalogue=[109],
    paper=Paper(
        "Layer-adaptive sparsity for the Magnitude-based Pruning",
        "Lee et al.",
        2020,
        arxiv="2010.07611",
        checked="scores by hand",
    ),
)
class Lamp:
    """Ranks all weights together by w² over the sum of the squares in the layer that are no smaller."""

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
            raise InputError("allocation 'lamp' needs the scores of a reference")
        given = list(scores.values())
        ranked = remembered("lamp", given, lambda: [lamp_scores(score) for score in given])
        return rank_globally(layers, one_amount("lamp", amount), dict(zip(scores, ranked, strict=True)))
