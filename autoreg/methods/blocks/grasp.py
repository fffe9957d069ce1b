"""The blocks without which least gradient would flow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

from autoreg.lazy import lazy_module
from autoreg.methods.base import method
from autoreg.methods.blocks.ranking import highest
from autoreg.space.spec import Paper, integer

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = lazy_module("torch")


@method(
    "grasp",
    kind="blocks",
    phrase=("blocks: {keep} by GraSP",),
    catalogue=[164],
    paper=Paper(
        "When Layers Play the Lottery, all Tickets Win at Initialization",
        "Jordao et al.",
        2023,
        arxiv="2301.10835",
        checked="scores of a quadratic loss by hand; w·Hg is minus the score of GraSP (Wang et al., 2020, "
        "arXiv 2002.07376, eq. 8), summed over the weights of a block",
    ),
)
class GraspBlocks:
    """Keeps the `keep` blocks that matter most for the gradient flow at the start, by the sum of w·Hg."""

    keep: int = integer(1, 2, min=0, max=10_000, doc="droppable blocks that stay")
    needs: ClassVar[tuple[str, ...]] = ("loss",)

    def score(self, loss: Tensor, weights: Mapping[str, Sequence[Tensor]]) -> dict[str, float]:
        """Σ w·Hg by block: to first order half of what ‖g‖² loses when the block's weights go.

        Args:
            loss: scalar, of one batch, with its graph; it is differentiated twice.
            weights: of the layers of each block; H and g are those of all of them.
        """
        flat = [weight for own in weights.values() for weight in own]
        gradients = torch.autograd.grad(loss, flat, create_graph=True)
        flow = torch.stack([(gradient * gradient.detach()).sum() for gradient in gradients]).sum()
        products = iter(torch.autograd.grad(flow, flat))
        return {
            name: sum(float((weight.detach() * next(products)).sum()) for weight in own)
            for name, own in weights.items()
        }

    def select(self, blocks: Sequence[str], scores: Mapping[str, float] | None = None) -> tuple[str, ...]:
        """Names of the blocks that stay, in the order of the network.

        Raises:
            InputError: if there are fewer than `keep`, or a block has no score.
        """
        return highest(blocks, scores, self.keep)
