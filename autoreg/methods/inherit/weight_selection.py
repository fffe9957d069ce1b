"""Evenly spaced channels."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from autoreg.methods.base import method
from autoreg.space.spec import Paper

if TYPE_CHECKING:
    from torch import Tensor


@method(
    "weight_selection",
    kind="inherit",
    phrase=("weight selection",),
    catalogue=[68],
    paper=Paper(
        "Initializing Models with Larger Ones",
        "Xu et al.",
        2023,
        arxiv="2311.18823",
        checked="indices by hand, the rule of the authors' code; coupled channels are taken together, where the paper "
        "takes each tensor alone; its first layers are `network.blocks: first`",
    ),
)
class WeightSelection:
    """Takes evenly spaced channels of every group of coupled channels."""

    needs: ClassVar[tuple[str, ...]] = ()

    def select(self, channels: int, keep: int, values: Tensor | None = None) -> list[int]:
        """Indices of the channels that stay.

        Example:
            >>> WeightSelection().select(8, 4), WeightSelection().select(8, 3)
            ([0, 2, 4, 6], [0, 4, 7])
        """
        if channels % keep == 0:
            return [index * (channels // keep) for index in range(keep)]
        return [round(index * (channels - 1) / max(1, keep - 1)) for index in range(keep)]
