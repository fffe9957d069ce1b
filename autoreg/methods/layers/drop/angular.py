"""The blocks that change least go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from autoreg.errors import InputError
from autoreg.methods.base import method
from autoreg.methods.layers.drop.distances import check_count
from autoreg.space.spec import Paper, integer


@method(
    "angular",
    kind="drop",
    catalogue=[163],
    paper=Paper(
        "The Unreasonable Ineffectiveness of the Deeper Layers",
        "Gromov et al.",
        2024,
        arxiv="2403.17887",
        checked="distances of known angles; blocks are judged one by one, where the paper takes a run of n together",
    ),
)
class Angular:
    """Drops the `count` blocks with the smallest angular distance between input and output."""

    count: int = integer(1, 2, max=10_000, doc="blocks that are dropped")
    needs: ClassVar[tuple[str, ...]] = ("distances",)

    def select(self, blocks: Sequence[str], distances: Mapping[str, float] | None = None) -> tuple[str, ...]:
        """Names of the blocks that go, in the order of the network; of equal distances the deeper block.

        Raises:
            InputError: if there are fewer than `count`, or a block has no distance.
        """
        check_count(self.count, blocks)
        missing = [name for name in blocks if name not in (distances or {})]
        if distances is None or missing:
            raise InputError(f"drop 'angular' needs a distance for every block; missing: {', '.join(missing)}")
        ranked = sorted(range(len(blocks)), key=lambda i: (distances[blocks[i]], -i))
        return tuple(blocks[i] for i in sorted(ranked[: self.count]))
