"""Whole channels, with all layers that are coupled to them."""

from __future__ import annotations

import contextlib
import copy
import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Self

from autoreg.costs.levels import Levels
from autoreg.errors import InputError
from autoreg.lazy import lazy_module
from autoreg.methods.base import method
from autoreg.methods.sparsity.allocations.remembered import remembered
from autoreg.methods.sparsity.allocations.shapes import LayerShape, amounts_by_layer
from autoreg.methods.sparsity.counts import retained_channels
from autoreg.methods.sparsity.structures.structure import DenseReference, Network, S, Structure, Target
from autoreg.network.shapes import ChannelGroup
from autoreg.sensitivity.ladder import MEASURED_AMOUNTS, Ladder, counts_ladder
from autoreg.space.spec import Paper, integer, slot, uniform

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from autoreg.network.surgery import apply as surgery
else:
    torch = lazy_module("torch")
    surgery = lazy_module("autoreg.network.surgery.apply")

TRIED_AMOUNTS = 400  # fractions removed that are tried, to find every number of channels that can stay


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
    phrase=("channel", "{amount:%}", "{criterion}/{allocation}", "{schedule}", "round_to {round_to}"),
    catalogue=[141],
    paper=Paper(
        "DepGraph: Towards Any Structural Pruning",
        "Fang et al.",
        2023,
        arxiv="2301.12900",
        checked="group scores by hand",
    ),
)
class Channel(Structure):
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

    changes_shape: ClassVar[bool] = True
    curve_settings: ClassVar[tuple[str, ...]] = ("criterion", "round_to")

    def retained_channels(self, channels: int, amount: float, width: int = 1) -> int:
        """Channels that stay of a group when the share `amount` goes.

        Args:
            channels: of the group; of attention, its heads.
            amount: in [0, 1).
            width: features of one channel, more than one for heads: it is features that are a multiple of `round_to`.

        Example:
            >>> rule = Channel(round_to=4)
            >>> [rule.retained_channels(8, 0.4, width) for width in (1, 16, 6)]
            [4, 5, 4]
        """
        return retained_channels(channels, amount, self.round_to // math.gcd(self.round_to, width))

    def resolve(self, network: Network, reference: DenseReference) -> Levels:
        """How many channels of each coupled group stay.

        Raises:
            InputError: the network has no channels that can go.
        """
        groups = [group for group in network.groups if group.removable]
        if not groups:
            reasons = sorted({group.reason for group in network.groups if group.reason}) or [
                "no coupled channels found"
            ]
            raise InputError(
                f"sparsity: channel removes coupled channels, but the task {network.task!r} has none that can go "
                f"({'; '.join(reasons)}); use another structure"
            )
        sizes = {layer.name: layer.weights for layer in network.layers}
        shapes = [
            LayerShape(group.id, (group.size, _weights_per_channel(group, sizes)), type="channels") for group in groups
        ]
        given: Mapping[str, Any] | None = None
        if "scores" in self.allocation.needs:
            scores = reference.scores(self.criterion)
            what = repr(("channels", network.dropped, [(group.id, group.size) for group in groups]))
            given = remembered(
                what, list(scores.values()), lambda: {group.id: channel_scores(group, scores) for group in groups}
            )
        elif "curves" in self.allocation.needs:
            given = reference.curves(self, network.dropped)
        removed = self.allocation.levels(shapes, amounts_by_layer(self.amount, shapes), given)
        channels = {g.id: self.retained_channels(g.size, removed[g.id], g.width) for g in groups}
        return Levels(channels=channels)

    def apply(self, state: S, target: Target, fraction: float = 1.0) -> S:
        """Remove channels until each group has gone `fraction` of the way from its full size to its level.

        The channels of lowest score on the model's own weights go.
        """
        groups = {group.id: group for group in surgery.channel_groups(state.model, target.example_input)}
        full = {group.id: group.size for group in target.profile.channel_groups}
        scores: Mapping[str, Tensor] | None = None
        remove: dict[str, list[int]] = {}
        for name, retained in target.levels.channels.items():
            size = full[name]
            count = groups[name].size - (size - round(fraction * (size - retained)))
            if count <= 0:
                continue
            scores = target.score(state.model) if scores is None else scores
            order = torch.argsort(channel_scores(groups[name], scores), stable=True)
            remove[name] = sorted(int(i) for i in order[:count])
        if not remove:
            return state
        surgery.remove_channels(state.model, target.example_input, remove)
        removed = dict(state.removed)
        for name, indices in remove.items():
            gone = set(removed.get(name, ()))
            left = [i for i in range(full[name]) if i not in gone]
            removed[name] = tuple(sorted(gone | {left[i] for i in indices}))
        return state.with_model(state.model, removed=removed)

    @classmethod
    def reachable_channels(
        cls, structures: Sequence[Self], groups: Sequence[ChannelGroup]
    ) -> Mapping[str, Iterable[int]]:
        """What the amounts between the smallest and the largest leave; all amounts where groups get different ones."""
        counts: dict[str, set[int]] = {group.id: set() for group in groups}
        same = [s.allocation.same_for_all and not isinstance(s.amount, Mapping) for s in structures]
        by_rounding: dict[int, list[Self]] = {}
        for structure in structures:
            by_rounding.setdefault(structure.round_to, []).append(structure)
        for rules in by_rounding.values():
            amounts = [rule.amount for rule in rules] if all(same) else [0.0, 0.999]
            low, high = min(amounts), max(amounts)
            tried = [low + (high - low) * step / TRIED_AMOUNTS for step in range(TRIED_AMOUNTS + 1)]
            for group in groups:
                counts[group.id] |= {rules[0].retained_channels(group.size, amount, group.width) for amount in tried}
        return counts

    def ladder(self, network: Network, scores: Mapping[str, Tensor], example_input: Any) -> Ladder:
        """Every group cut alone, at the amounts that are measured."""
        groups = {group.id: group for group in network.groups if group.removable}
        counts = {
            name: {self.retained_channels(group.size, share, group.width) for share in MEASURED_AMOUNTS}
            for name, group in groups.items()
        }
        pooled = {name: channel_scores(group, scores) for name, group in groups.items()}
        return counts_ladder(counts, pooled, partial(_cut, example_input=example_input))


def channel_scores(group: ChannelGroup, scores: Mapping[str, Tensor]) -> Tensor:
    """One score per channel of a coupled group, from the scores of the weights of its layers; shape [size].

    Layers without scores (norms, and layers of dropped blocks) are passed over.
    """
    return group_scores(scores, group.members, group.size, spans=group.spans)


def _weights_per_channel(group: ChannelGroup, sizes: Mapping[str, int]) -> int:
    return max(1, sum(sizes[name] // group.size for name in group.produced if name in sizes))


@contextlib.contextmanager
def _cut(model: nn.Module, *, example_input: Any, name: str, score: Tensor, level: int) -> Iterator[nn.Module]:
    small = copy.deepcopy(model)
    lowest = torch.argsort(score, stable=True)[: len(score) - level]
    surgery.remove_channels(small, example_input, {name: sorted(lowest.tolist())})
    yield small
