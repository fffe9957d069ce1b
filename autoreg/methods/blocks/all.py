"""Every block stays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from autoreg.methods.base import method
from autoreg.space.spec import Paper


@method(
    "all",
    kind="blocks",
    phrase=(),
    paper=Paper(
        "Deep Residual Learning for Image Recognition",
        "He et al.",
        2015,
        arxiv="1512.03385",
        checked="names all blocks",
    ),
)
class AllBlocks:
    """Keeps every block: the network as the task builds it."""

    keep: ClassVar[int | None] = None
    needs: ClassVar[tuple[str, ...]] = ()

    def select(self, blocks: Sequence[str], scores: Mapping[str, float] | None = None) -> tuple[str, ...]:
        """Names of all blocks."""
        return tuple(blocks)
