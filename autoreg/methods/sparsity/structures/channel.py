"""Whole channels, with all layers that are coupled to them."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from autoreg.errors import InputError
from autoreg.lazy import lazy_module
from autoreg.methods.base import method
from autoreg.methods.sparsity.counts import retained_channels
from autoreg.space.spec import Paper, integer, slot, uniform

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = lazy_module("torch")


def group_scores(
    scores: Mapping[str, Tensor],
    members: Sequence[tuple[str, int | str]],
    channels: int,
    *,
    spans: Sequence[tuple[int, int]] = (),
    transposed: Collection[str] = (),
) -> Tensor:
    """One score per channel of a coupled group: the mean score of all weights that would go with the channel.

    Args:
        scores: by layer name, shaped like the layer's weight.
        members: pairs (layer, dimension of its weight along which the channels lie): a number, or `out`, `in` or
            `channel` (of a depthwise layer). Layers without scores (norms) are passed over. A layer may come several
            times (fused projections of attention).
        channels: size of the group.
        spans: aligned with `members`, (start, repeat): channel c lies at start + c·repeat and the repeat − 1 places
            after it. By default the channels fill the dimension, in order and with equal repeats.
        transposed: names of transposed convolutions, whose weight has the inputs first.

    Returns:
        float64, [channels].

    Raises:
        InputError: if a dimension does not hold the channels, or no member has scores.

    Example:
        >>> import torch
        >>> w = {"a": torch.tensor([[1.0, 3.0], [5.0, 7.0]]), "b": torch.tensor([[4.0, 8.0]])}
        >>> group_scores(w, [("a", 0), ("b", 1)], 2)  # (1 + 3 + 4) / 3 and (5 + 7 + 8) / 3
        tensor([2.6667, 6.6667], dtype=torch.float64)
    """
    total: Tensor | None = None
    count = 0
    for index, (name, where) in enumerate(members):
        if name not in scores:
            continue
        dim = _dimension(where, name in transposed)
        along = scores[name].detach().double().movedim(dim, 0)
        start, repeat = spans[index] if spans else (0, along.shape[0] // channels)
        if repeat < 1 or start + channels * repeat > along.shape[0] or (not spans and along.shape[0] % channels):
            raise InputError(
                f"channel group: {name!r} has {along.shape[0]} places in dimension {dim}; "
                f"{channels} channels of {repeat} from {start} do not fit"
            )
        parts = along[start : start + channels * repeat].reshape(channels, -1)
        total = parts.sum(1) if total is None else total + parts.sum(1)
        count += parts.shape[1]
    if total is None:
        raise InputError(f"channel group: no scores for any of {', '.join(name for name, _ in members) or 'no layers'}")
    return total / count


def _dimension(where: int | str, transposed: bool) -> int:
    if isinstance(where, int):
        return where
    places = {"out": 1 if transposed else 0, "in": 0 if transposed else 1, "channel": 0}
    if where not in places:
        raise InputError(f"channel group: dimension {where!r}; allowed: a number, {', '.join(places)}")
    return places[where]


@method(
    "channel",
    kind="structure",
    catalogue=[141],
    paper=Paper(
        "DepGraph: Towards Any Structural Pruning",
        "Fang et al.",
        2023,
        arxiv="2301.12900",
        checked="group scores by hand",
    ),
)
class Channel:
    """Removes whole channels and attention heads for real, from all layers coupled to them: the network becomes smaller
    and faster.
    """

    criterion: Any = slot("criterion", "magnitude", "taylor", "random", default="magnitude", doc="which channels go")
    allocation: Any = slot("allocation", "uniform", "global", default="uniform", doc="how many go where")
    amount: Any = uniform(
        0.1, 0.7, default=0.3, min=0.0, max=0.99, per_layer=True, doc="share of channels removed among all groups"
    )
    schedule: Any = slot("schedule", "one_shot", "gradual", default="one_shot", doc="when they go")
    round_to: int = integer(1, 8, default=4, min=1, max=1024, doc="channels that stay are a multiple of this")

    def kept(self, channels: int, amount: float, width: int = 1) -> int:
        """Channels that stay of a group when the share `amount` goes.

        Args:
            channels: of the group; of attention, its heads.
            amount: in [0, 1).
            width: features of one channel, more than one for heads: it is features that are a multiple of `round_to`.

        Example:
            >>> rule = Channel(round_to=4)
            >>> rule.kept(8, 0.4), rule.kept(8, 0.4, 16), rule.kept(8, 0.4, 6)
            (4, 5, 4)
        """
        return retained_channels(channels, amount, self.round_to // math.gcd(self.round_to, width))
