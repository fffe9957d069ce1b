"""The deepest blocks go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from autoreg.methods.base import method
from autoreg.methods.layers.drop.distances import check_count
from autoreg.space.spec import Paper, integer


@method(
    "last",
    kind="drop",
    catalogue=[162],
    paper=Paper(
        "Reassessing Layer Pruning in LLMs: New Insights and Methods",
        "Lu et al.",
        2024,
        arxiv="2411.15558",
        checked="names by hand",
    ),
)
class LastBlocks:
    """Drops the last `count` of the droppable blocks: the baseline that any measure of importance must beat."""

    count: int = integer(1, 2, max=10_000, doc="blocks that are dropped")
    needs: ClassVar[tuple[str, ...]] = ()

    def select(self, blocks: Sequence[str], distances: Mapping[str, float] | None = None) -> tuple[str, ...]:
        """Names of the blocks that go, in the order of the network.

        Raises:
            InputError: if there are fewer than `count`.
        """
        check_count(self.count, blocks)
        return tuple(blocks[len(blocks) - self.count :])
