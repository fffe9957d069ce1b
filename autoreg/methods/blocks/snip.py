"""The blocks on whose weights the loss depends most."""

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
    "snip",
    kind="blocks",
    phrase=("blocks: {keep} by SNIP",),
    catalogue=[164],
    paper=Paper(
        "When Layers Play the Lottery, all Tickets Win at Initialization",
        "Jordao et al.",
        2023,
        arxiv="2301.10835",
        checked="scores by hand; |w·g| of SNIP (Lee et al., 2018, arXiv 1810.02340), summed over a block's weights",
    ),
)
class SnipBlocks:
    """Keeps the `keep` blocks of the highest connection sensitivity, the sum of |w·g| at the start."""

    keep: int = integer(1, 2, min=0, max=10_000, doc="droppable blocks that stay")
    needs: ClassVar[tuple[str, ...]] = ("loss",)

    def score(self, loss: Tensor, weights: Mapping[str, Sequence[Tensor]]) -> dict[str, float]:
        """Σ |w·g| by block.

        Args:
            loss: scalar, of one batch, with its graph.
            weights: of the layers of each block.
        """
        flat = [weight for own in weights.values() for weight in own]
        gradients = iter(torch.autograd.grad(loss, flat))
        return {
            name: sum(float((weight.detach() * next(gradients)).abs().sum()) for weight in own)
            for name, own in weights.items()
        }

    def select(self, blocks: Sequence[str], scores: Mapping[str, float] | None = None) -> tuple[str, ...]:
        """Names of the blocks that stay, in the order of the network.

        Raises:
            InputError: if there are fewer than `keep`, or a block has no score.
        """
        return highest(blocks, scores, self.keep)
