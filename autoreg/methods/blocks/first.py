"""The first blocks stay."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from autoreg.methods.base import method
from autoreg.methods.blocks.ranking import check_keep
from autoreg.space.spec import Paper, integer


@method(
    "first",
    kind="blocks",
    phrase=("blocks: first {keep}",),
    paper=Paper(
        "Initializing Models with Larger Ones",
        "Xu et al.",
        2023,
        arxiv="2311.18823",
        checked="names by hand; of the blocks that can be dropped, where the paper takes the first of all layers",
    ),
)
class FirstBlocks:
    """Keeps the first `keep` of the blocks that can be dropped."""

    keep: int = integer(1, 2, min=0, max=10_000, doc="droppable blocks that stay")
    needs: ClassVar[tuple[str, ...]] = ()

    def select(self, blocks: Sequence[str], scores: Mapping[str, float] | None = None) -> tuple[str, ...]:
        """Names of the blocks that stay, in the order of the network.

        Raises:
            InputError: if there are fewer than `keep`.
        """
        check_keep(self.keep, blocks)
        return tuple(blocks[: self.keep])
