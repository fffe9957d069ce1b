"""The channels that carry most, and weights scaled for what is gone."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar

from autoreg.errors import InputError
from autoreg.methods.base import method
from autoreg.space.spec import Paper

if TYPE_CHECKING:
    from torch import Tensor


@method(
    "subcloning",
    kind="inherit",
    catalogue=[77],
    paper=Paper(
        "Weight subcloning: direct initialization of transformers using larger pretrained ones",
        "Samragh et al.",
        2023,
        arxiv="2312.09299",
        checked="indices and factors by hand; channels of each coupled group are ranked by their mean activation, "
        "and the factor on what reads them holds the deviation of a sum of independent terms; which blocks go is said "
        "by `network.blocks`",
    ),
)
class Subcloning:
    """Takes the channels of the largest mean absolute activation, and scales what reads them for the lost width."""

    needs: ClassVar[tuple[str, ...]] = ("activations",)

    def select(self, channels: int, keep: int, values: Tensor | None = None) -> list[int]:
        """Indices of the channels that stay, of equal activations the earlier.

        Args:
            channels: of the group.
            keep: how many stay.
            values: mean absolute activation of each channel, [channels].

        Raises:
            InputError: without activations.
        """
        if values is None:
            raise InputError("network.inherit: subcloning needs the activation of every channel")
        order = sorted(range(channels), key=lambda index: (-float(values[index]), index))
        return sorted(order[:keep])

    def scale(self, channels: int, keep: int) -> float:
        """Factor on the weights that read the channels.

        Example:
            >>> Subcloning().scale(64, 16)
            2.0
        """
        return math.sqrt(channels / keep)
