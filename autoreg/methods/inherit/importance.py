"""The channels of the highest scores."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from autoreg.errors import InputError
from autoreg.methods.base import method
from autoreg.space.spec import Paper, slot

if TYPE_CHECKING:
    from torch import Tensor


@method(
    "importance",
    kind="inherit",
    phrase=("channels by {criterion}",),
    paper=Paper(
        "Pruning Filters for Efficient ConvNets",
        "Li et al.",
        2016,
        arxiv="1608.08710",
        checked="indices by hand; scores are means over all weights of a coupled group, where the paper sums |w| of "
        "one layer's filters",
    ),
)
class Importance:
    """Takes the channels whose weights have the highest mean score in the trained network."""

    criterion: Any = slot("criterion", "magnitude", "taylor", default="magnitude", doc="what scores a weight")
    needs: ClassVar[tuple[str, ...]] = ("scores",)

    def select(self, channels: int, keep: int, values: Tensor | None = None) -> list[int]:
        """Indices of the channels that stay, of equal scores the earlier.

        Args:
            channels: of the group.
            keep: how many stay.
            values: a score of each channel, [channels].

        Raises:
            InputError: without scores.
        """
        if values is None:
            raise InputError("network.inherit: importance needs a score of every channel")
        order = sorted(range(channels), key=lambda index: (-float(values[index]), index))
        return sorted(order[:keep])
