"""Costs of a compressed model before it exists: arithmetic on its profile. Loads without torch."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping
from dataclasses import replace
from math import prod

from autoreg.costs.formulas import (
    FLOAT_BITS,
    FLOAT_BYTES,
    Costs,
    LayerCost,
    layer_cost,
    packed_bytes,
    scale_bytes,
    total,
)
from autoreg.costs.levels import Levels
from autoreg.errors import InputError
from autoreg.network.shapes import ChannelGroup, LayerProfile, Profile
from autoreg.network.surgery.factors import factor_names, factor_shapes, full_rank

__all__ = ["Costs", "LayerCost", "groups_after", "predict"]

_DENSE = Levels()
_FIXED = ""  # stands for all channels that can never be removed


def predict(profile: Profile, levels: Levels = _DENSE) -> Costs:
    """Costs of `levels` on the profiled model, to the integer that `count` finds on the finished one.

    Layers of dropped blocks stay in `per_layer`, all zero and marked. A factored layer NAME has two rows, NAME.0 and
    NAME.1, in its place.

    Raises:
        InputError: When `levels` names a block, channel group or layer that does not exist (after the blocks are
            dropped), retains more than there is or no channel at all, or factors a layer that cannot be.
    """
    check_names(profile, levels)
    levels = levels.spread()
    gone = set(levels.dropped)
    removed = removed_channels(profile, levels) if levels.channels else {}
    stored: set[str] = set()
    per_layer: list[LayerCost] = []
    weights = biases = 0
    for layer in profile.layers:
        if layer.block in gone:
            per_layer.append(_dropped(layer))
            continue
        out_channels = layer.out_channels - removed.get(layer.out_group or _FIXED, 0) * layer.out_repeat
        in_channels = layer.in_channels - sum([removed.get(group, 0) * repeat for group, repeat in layer.in_groups])
        store = layer.tied is None or layer.tied not in stored
        if layer.tied is not None:
            stored.add(layer.tied)
        shape = layer.shape(out_channels, in_channels)
        parts = [(layer, shape)] if layer.name not in levels.ranks else _factors(layer, shape, levels)
        for one, its in parts:
            cost = _predict_layer(one, its, out_channels if one is layer else its[0], levels, store)
            per_layer.append(cost)
            weights += cost.weight_count if store else 0
        biases += out_channels if layer.bias else 0
    functional = 0
    for work in profile.functional:
        if work.block not in gone:
            functional += work.macs - sum([removed.get(group, 0) * each for group, each in work.per_channel])
    others = buffers = 0
    for part in profile.others:
        if part.block not in gone:
            others += part.params - sum([removed.get(group, 0) * each for group, each, _ in part.per_channel])
            buffers += part.buffers - sum([removed.get(group, 0) * each for group, _, each in part.per_channel])
    return total(per_layer, weights, functional, biases, others, buffers)


def groups_after(profile: Profile, dropped: Collection[str] = ()) -> tuple[ChannelGroup, ...]:
    """Channel groups of the profiled model once the blocks `dropped` are gone.

    Residual blocks leave the groups around them as they are; dropping another block unites the groups before and
    after it. A group is named after its first producing layer that is left, and called removable only where that
    is certain from the profile.
    """
    return tuple(group for group, _ in united_groups(profile, dropped))


def united_groups(profile: Profile, dropped: Collection[str]) -> list[tuple[ChannelGroup, tuple[str, ...]]]:
    """Each group that is left once blocks are gone, with the ids of the profiled groups it is made of."""
    if not dropped:
        return [(group, (group.id,)) for group in profile.channel_groups]
    parent = {group.id: group.id for group in profile.channel_groups} | {_FIXED: _FIXED}

    def find(name: str) -> str:
        while parent[name] != name:
            name = parent[name]
        return name

    for block in profile.blocks:
        if block.name in dropped:
            for name in (*block.joined, _FIXED) if block.fixed else block.joined:
                parent[find(name)] = find(block.joined[0] if block.joined else _FIXED)
    prefixes = tuple(f"{name}." for name in dropped)
    order = {layer.name: place for place, layer in enumerate(profile.layers)}
    classes: dict[str, list[ChannelGroup]] = {}
    for group in profile.channel_groups:
        classes.setdefault(find(group.id), []).append(group)
    found: list[tuple[ChannelGroup, tuple[str, ...]]] = []
    for root, parts in classes.items():
        united = _unite(parts, prefixes, order, fixed=find(_FIXED) == root)
        if united is not None:
            found.append((united, tuple(part.id for part in parts)))
    return sorted(found, key=lambda item: order[item[0].id])


def _unite(
    parts: list[ChannelGroup], prefixes: tuple[str, ...], order: Mapping[str, int], fixed: bool
) -> ChannelGroup | None:
    spans = [span for part in parts for span in (part.spans or ((0, 0),) * len(part.members))]
    members = [member for part in parts for member in part.members]
    left = [(m, s) for m, s in zip(members, spans, strict=True) if not m[0].startswith(prefixes)]
    produced, consumed = (
        tuple(
            sorted(
                (name for part in parts for name in getattr(part, end) if not name.startswith(prefixes)),
                key=order.__getitem__,
            )
        )
        for end in ("produced", "consumed")
    )
    if not produced:
        return None
    reasons = [part.reason for part in parts if not part.removable]
    first = parts[0]
    if len(parts) > 1 and any(part.heads for part in parts):
        reasons.append("a dropped block leads from attention heads to other channels")
    elif first.heads and len(left) < len(first.members):
        reasons.append("a dropped block takes a part of the layers of these attention heads")
    if fixed:
        reasons.append("a dropped block leads from these channels to some that cannot be removed")
    return ChannelGroup(
        id=produced[0],
        size=parts[0].size,
        members=tuple(member for member, _ in left),
        produced=produced,
        consumed=consumed,
        spans=tuple(span for _, span in left) if all(part.spans for part in parts) else (),
        removable=not reasons,
        reason="; ".join(reasons),
        width=first.width,
        attributes=first.attributes,
        work=first.work,
    )


def removed_channels(profile: Profile, levels: Levels) -> dict[str, int]:
    """Channels removed, by group of the profile.

    Raises:
        InputError: When `levels` names a channel group that does not exist, or leaves a number that it cannot have.
    """
    removed: dict[str, int] = {}
    left = {group.id: (group, parts) for group, parts in united_groups(profile, levels.dropped)}
    for name, retained in levels.channels.items():
        if name not in left:
            raise InputError(_unknown("channel group", name, left))
        group, parts = left[name]
        if not 1 <= retained <= group.size:
            raise InputError(f"levels: channel group {name!r} retains {retained} channels; allowed: 1 to {group.size}")
        if retained < group.size and not group.removable:
            raise InputError(f"levels: channels of group {name!r} cannot be removed: {group.reason}")
        for part in parts:
            removed[part] = group.size - retained
    return removed


def _factors(layer: LayerProfile, shape: tuple[int, ...], levels: Levels) -> list[tuple[LayerProfile, tuple[int, ...]]]:
    """The two layers that stand in place of one whose weight would have `shape`, with the shapes of their weights."""
    rank = levels.ranks[layer.name]
    if not layer.factorable:
        raise InputError(
            f"levels: layer {layer.name!r} cannot be factored: it is grouped, transposed, of a class of its own, used "
            "in more than one place, or read by other code"
        )
    if rank > full_rank(shape):
        raise InputError(f"levels: rank of layer {layer.name!r} is {rank}; allowed: 1 to {full_rank(shape)}")
    (first, second), shapes = factor_names(layer.name), factor_shapes(shape, rank)
    return [(replace(layer, name=first, bias=False), shapes[0]), (replace(layer, name=second), shapes[1])]


def _predict_layer(
    layer: LayerProfile, shape: tuple[int, ...], out_channels: int, levels: Levels, store: bool
) -> LayerCost:
    name = layer.name
    count = prod(shape)
    retained = levels.retained.get(name, count)
    if not 0 <= retained <= count:
        raise InputError(f"levels: layer {name!r} retains {retained} weights; allowed: 0 to {count}")
    bits = levels.weight_bits.get(name, FLOAT_BITS)
    activation_bits = levels.activation_bits.get(name, FLOAT_BITS)
    size = FLOAT_BYTES * out_channels if layer.bias else 0
    if store:
        size += packed_bytes(count, retained, bits) + scale_bytes(
            out_channels, bits, levels.granularity, levels.symmetric
        )
    return layer_cost(name, layer.type, shape, layer.positions, retained, bits, activation_bits, size)


def _dropped(layer: LayerProfile) -> LayerCost:
    return LayerCost(layer.name, layer.type, 0, 0, 0, 0, 0, FLOAT_BITS, FLOAT_BITS, 0, True, ())


def check_names(profile: Profile, levels: Levels) -> None:
    """Refuse levels of blocks and layers that a network does not have.

    Raises:
        InputError: then.
    """
    blocks = {block.name for block in profile.blocks}
    for name in levels.dropped:
        if name not in blocks:
            raise InputError(_unknown("droppable block", name, blocks))
    names = profile.names
    if levels.ranks:
        if not levels.ranks.keys() <= names:
            raise InputError(_unknown("layer", sorted(levels.ranks.keys() - names)[0], names))
        for name in levels.retained:
            if name in levels.ranks:
                factors = " and ".join(factor_names(name))
                raise InputError(f"levels: layer {name!r} is factored; say what {factors} retain")
        names = names.union(*[factor_names(name) for name in levels.ranks])
    for named in (levels.retained, levels.weight_bits, levels.activation_bits):
        if not named.keys() <= names:
            name = sorted(named.keys() - names)[0]
            raise InputError(_unknown("layer", name, names))


def _unknown(what: str, name: str, known: Collection[str]) -> str:
    near = difflib.get_close_matches(name, known, 1)
    hint = f"; did you mean {near[0]!r}?" if near else f"; there are {', '.join(sorted(known)) or 'none'}"
    return f"levels: no {what} is called {name!r}{hint}"
