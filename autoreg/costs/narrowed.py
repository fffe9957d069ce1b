"""The profile of a network that is narrow from the start: arithmetic on that of the whole one. Loads without torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from autoreg.costs.levels import Levels
from autoreg.costs.predict import check_names, groups_after, removed_channels, united_groups
from autoreg.network.shapes import ONE_HEAD, Block, ChannelGroup, Functional, LayerProfile, OtherParams, Profile


def narrowed(profile: Profile, network: Levels) -> Profile:
    """What `profile` would find on a model once blocks are dropped and channels removed.

    No model is traced: that takes too long for every network that a search looks at. Blocks that become droppable only
    because their sides have become equally wide are not found.

    Args:
        profile: of the whole network.
        network: its `dropped` and `channels`; nothing else of it is read.

    Raises:
        InputError: a block or channel group does not exist or cannot go.
    """
    check_names(profile, network)
    removed = removed_channels(profile, network)
    united = united_groups(profile, network.dropped)
    now = {part: group.id for group, parts in united for part in parts}
    groups = _groups([group for group, _ in united], network.channels)
    order = {group.id: place for place, group in enumerate(groups)}
    working = {group.id for group in groups if group.work}
    gone = set(network.dropped)
    layers = tuple(_layer(layer, removed, now, order) for layer in profile.layers if layer.block not in gone)
    functional = tuple(
        replace(
            part,
            macs=part.macs - sum(removed.get(group, 0) * each for group, each in part.per_channel),
            per_channel=tuple((now[group], each) for group, each in part.per_channel if now.get(group) in working),
        )
        for part in profile.functional
        if part.block not in gone
    )
    return Profile(
        layers=layers,
        channel_groups=groups,
        blocks=_blocks(profile, gone, layers, functional, now, {group.id: group.size for group in groups}),
        functional=functional,
        others=tuple(_others(part, removed, now) for part in profile.others if part.block not in gone),
        warnings=profile.warnings,
    )


def composed(whole: Profile, network: Levels, part: Profile, levels: Levels) -> Levels:
    """Levels of the whole network that leave what `levels` leave of the network that `network` makes of it.

    Args:
        whole: profile of the whole network.
        network: what is dropped and removed from the start.
        part: the profile that this leaves, see `narrowed`.
        levels: of the narrower network.
    """
    dropped = (*network.dropped, *levels.dropped)
    full = {group.id: group.size for group in groups_after(whole, dropped)}
    left = {group.id: levels.channels.get(group.id, group.size) for group in groups_after(part, levels.dropped)}
    channels = {name: size for name, size in left.items() if size < full[name]}
    return replace(levels, dropped=dropped, channels=channels)


def _groups(groups: Sequence[ChannelGroup], channels: Mapping[str, int]) -> tuple[ChannelGroup, ...]:
    """Groups at their new sizes, their channels at their new places."""
    lying: dict[tuple[str, int], list[tuple[int, int]]] = {}  # (start, places that go) by member
    for group in groups:
        gone = group.size - channels.get(group.id, group.size)
        for member, (start, repeat) in zip(group.members, group.spans, strict=False):
            lying.setdefault(member, []).append((start, gone * repeat))
    return tuple(_resized(group, channels.get(group.id, group.size), lying) for group in groups)


def _resized(
    group: ChannelGroup, size: int, lying: Mapping[tuple[str, int], Sequence[tuple[int, int]]]
) -> ChannelGroup:
    spans = tuple(
        (start - sum(gone for before, gone in lying[member] if before < start), repeat)
        for member, (start, repeat) in zip(group.members, group.spans, strict=False)
    )
    found = replace(group, size=size, spans=spans)
    if group.heads and size == 1 < group.size:
        return replace(found, removable=False, reason=ONE_HEAD, work=())
    return found


def _layer(
    layer: LayerProfile, removed: Mapping[str, int], now: Mapping[str, str], order: Mapping[str, int]
) -> LayerProfile:
    out_channels = layer.out_channels - removed.get(layer.out_group or "", 0) * layer.out_repeat
    in_channels = layer.in_channels - sum(removed.get(group, 0) * repeat for group, repeat in layer.in_groups)
    fed = [(now[group], each) for group, each in layer.in_groups if group in now]  # else all that produced it is gone
    return replace(
        layer,
        weight_shape=layer.shape(out_channels, in_channels),
        groups=out_channels if layer.depthwise else layer.groups,
        out_group=None if layer.out_group is None else now[layer.out_group],
        in_groups=tuple(sorted(fed, key=lambda item: order[item[0]])),
    )


def _others(part: OtherParams, removed: Mapping[str, int], now: Mapping[str, str]) -> OtherParams:
    return replace(
        part,
        params=part.params - sum(removed.get(group, 0) * each for group, each, _ in part.per_channel),
        buffers=part.buffers - sum(removed.get(group, 0) * each for group, _, each in part.per_channel),
        per_channel=tuple((now[group], params, buffers) for group, params, buffers in part.per_channel if group in now),
    )


def _blocks(
    profile: Profile,
    gone: set[str],
    layers: Sequence[LayerProfile],
    functional: Sequence[Functional],
    now: Mapping[str, str],
    sizes: Mapping[str, int],
) -> tuple[Block, ...]:
    """The blocks that can still be dropped: those whose sides are still equally wide."""
    found = []
    for block in profile.blocks:
        joined = tuple(dict.fromkeys(now[group] for group in block.joined if group in now))
        if block.name in gone or len({sizes[group] for group in joined}) > 1:
            continue
        macs = sum(layer.macs for layer in layers if layer.block == block.name)
        macs += sum(part.macs for part in functional if part.block == block.name)
        found.append(replace(block, macs=macs, joined=joined if len(joined) > 1 else ()))
    return tuple(found)
