"""A channel group while it is put together from a dependency graph, and why it cannot be removed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import nn
from torch.nn.modules.conv import _ConvNd

from autoreg.network.shapes import ChannelGroup
from autoreg.network.surgery.cut import Role, axis_of, depthwise
from autoreg.network.trace import WEIGHTED


@dataclass
class PartialGroup:
    """A channel group that is being put together.

    `positions` maps each member to [channel] -> its positions. `reasons` forbid removal in any case, `channel_reasons`
    only channel by channel: attention heads may still go. `mixed` says that a matrix product or softmax runs over the
    channels, `cyclic` that they could not be followed to an end.
    """

    id: str
    size: int
    positions: dict[tuple[str, Role], list[list[int]]] = field(default_factory=dict)
    reasons: list[str] = field(default_factory=list)
    channel_reasons: list[str] = field(default_factory=list)
    norms: dict[str, nn.Module] = field(default_factory=dict)
    mixed: bool = False
    cyclic: bool = False


def width(module: nn.Module, dim: Role) -> int:
    """Positions along dimension `dim` of a module."""
    for attribute in _WIDTHS["in" if dim == "in" else "out"]:
        if hasattr(module, attribute):
            return int(getattr(module, attribute))
    raise TypeError(f"a {type(module).__name__} has no channels")


_WIDTHS = {
    "in": ("in_channels", "in_features"),
    "out": ("out_channels", "out_features", "num_features", "num_parameters", "embedding_dim"),
}


def produces(module: nn.Module, dim: Role) -> bool:
    """Whether a module makes the channels that lie along its dimension `dim`."""
    return dim != "in" and isinstance(module, WEIGHTED)


def note_obstacles(partial: PartialGroup, model: nn.Module) -> None:
    """Note why a group cannot be removed, as far as its structure shows."""
    if partial.size == 1:
        partial.channel_reasons.append("there is only one channel")
    if not partial.reasons and not any(dim == "in" for _, dim in partial.positions):
        partial.reasons.append("these channels are the model's output: no layer consumes them")
    tied = _shared(model)
    for (name, dim), places in partial.positions.items():
        module = model.get_submodule(name)
        if isinstance(module, _ConvNd) and module.groups > 1 and not depthwise(module):
            partial.reasons.append(
                f"{name!r} is a grouped convolution ({module.groups} groups): its groups must stay equally large"
            )
        if tied & {id(p) for p in module.parameters(recurse=False)}:
            partial.reasons.append(f"{name!r} shares its weight with another module")
        found, all_of_it = span(places), width(module, dim)
        if (
            found is None
            or found[0] + found[1] * partial.size > all_of_it
            or (produces(module, dim) and found != (0, 1))
        ):
            partial.channel_reasons.append(f"channels do not map one to one to {name!r} (sliced, padded or mixed)")
        elif produces(module, dim) and all_of_it != partial.size:
            partial.channel_reasons.append(
                f"only a part of the channels of {name!r} belongs here (sliced, padded or joined)"
            )


def _shared(model: nn.Module) -> set[int]:
    """Ids of parameters that several modules hold."""
    held: dict[int, int] = {}
    for module in model.modules():
        for parameter in module.parameters(recurse=False):
            held[id(parameter)] = held.get(id(parameter), 0) + 1
    return {key for key, times in held.items() if times > 1}


def span(places: Sequence[Sequence[int]]) -> tuple[int, int] | None:
    """(start, repeat) when channel c lies at start + c * repeat ..., else None.

    Example:
        >>> span([[4, 5], [6, 7]]), span([[0], [2]])
        ((4, 2), None)
    """
    start, repeat = min(places[0], default=0), len(places[0])
    if repeat == 0:
        return None
    for channel, found in enumerate(places):
        first = start + channel * repeat
        if sorted(found) != list(range(first, first + repeat)):
            return None
    return start, repeat


def note_overlaps(partials: Sequence[PartialGroup]) -> None:
    """Note which groups lie in the same places."""
    owner: dict[tuple[str, str, int], PartialGroup] = {}
    for partial in partials:
        for (name, dim), places in partial.positions.items():
            for place in {place for found in places for place in found}:
                other = owner.setdefault((name, dim, place), partial)
                if other is not partial:
                    for one in (other, partial):
                        one.reasons.append(f"two groups of channels meet in {name!r}")


def ordered_members(partial: PartialGroup, model: nn.Module) -> list[tuple[str, Role]]:
    """Members in `named_modules` order, what they produce before what they consume."""
    order = {name: place for place, (name, _) in enumerate(model.named_modules())}
    return sorted(partial.positions, key=lambda member: (order[member[0]], member[1] == "in"))


def as_channel_group(partial: PartialGroup, model: nn.Module, mixed: str = "") -> ChannelGroup:
    """The group of single channels; `mixed` says why those that attention mixes cannot go as heads."""
    modules = dict(model.named_modules())
    members = ordered_members(partial, model)
    spans = [span(partial.positions[member]) for member in members]
    norms = [f"{name!r} ({type(norm).__name__}) normalizes over these channels" for name, norm in partial.norms.items()]
    rest = [] if mixed and not partial.reasons else [*norms, *partial.channel_reasons]
    reasons = list(dict.fromkeys([*partial.reasons, *([mixed] if mixed else []), *rest]))
    return ChannelGroup(
        id=partial.id,
        size=partial.size,
        members=tuple((name, axis_of(modules[name], dim)) for name, dim in members),
        produced=tuple(name for name, dim in members if produces(modules[name], dim)),
        consumed=tuple(name for name, dim in members if dim == "in"),
        spans=() if None in spans else tuple(one for one in spans if one is not None),
        removable=not reasons,
        reason="; ".join(reasons[:3]),
    )
