"""Surgery: drop whole blocks, remove channels and attention heads for real, and say what can be removed at all.

Groups of coupled channels come from torch-pruning's dependency graph (Fang et al., "DepGraph: Towards Any Structural
Pruning", CVPR 2023, arXiv:2301.12900). The graph is a heuristic, so each group is *verified* before it is called
removable: on a copy with random weights, the model with some channels removed must compute what the model computes
when those channels are ignored. What fails is reported with the reason. Channels that attention mixes are
read as heads, which are groups like any other: one channel of such a group is one head.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from autoreg.errors import InputError
from autoreg.network.shapes import ChannelGroup
from autoreg.network.surgery.blocks import PassThrough, drop_blocks, find_blocks, unknown_name
from autoreg.network.surgery.channel_groups import dependencies
from autoreg.network.surgery.cut import cut
from autoreg.network.surgery.joined_groups import Joined
from autoreg.network.surgery.known_groups import known_groups
from autoreg.network.surgery.removal_check import verified

__all__ = [
    "Analysis",
    "Joined",
    "PassThrough",
    "analyze",
    "apply_structure",
    "channel_groups",
    "drop_blocks",
    "find_blocks",
    "remove_channels",
]


@dataclass(frozen=True)
class Analysis:
    """What can leave a model: its channel groups, and its droppable blocks with what dropping them joins."""

    groups: tuple[ChannelGroup, ...]
    blocks: Mapping[str, Joined]


def analyze(model: nn.Module, example_input: Any) -> Analysis:
    """Find channel groups and droppable blocks; the model is left as it was."""
    blocks = find_blocks(model, example_input)
    found = dependencies(model, example_input, blocks)
    groups = verified(model, example_input, found.groups, found.head_layouts)
    return Analysis(groups, {name: found.joined.get(name, Joined(fixed=True)) for name in blocks})


def channel_groups(model: nn.Module, example_input: Any) -> tuple[ChannelGroup, ...]:
    """All groups of coupled channels, in the order of their ids' layers, removable or not."""

    def find() -> tuple[ChannelGroup, ...]:
        found = dependencies(model, example_input, ())
        return verified(model, example_input, found.groups, found.head_layouts)

    return known_groups(model, example_input, find)


def remove_channels(model: nn.Module, example_input: Any, removed: Mapping[str, Sequence[int]]) -> None:
    """Remove channels for real, in place: the small model computes what the model with dead channels computes.

    Parameters become new objects: build optimizers afterwards. Bake parametrizations before.

    Args:
        model: The model to cut.
        example_input: What it is called with.
        removed: Indices to remove, sorted, by group id (see `channel_groups`); at least one channel must stay.

    Raises:
        InputError: When a group does not exist or is not removable, or indices are wrong.
    """
    requested = {name: list(indices) for name, indices in removed.items() if len(indices)}
    if not requested:
        return
    known = {group.id: group for group in channel_groups(model, example_input)}
    for name in requested:
        if name not in known:
            raise InputError(unknown_name("channel group", name, known))
    groups: Sequence[ChannelGroup] = [known[name] for name in requested]
    if not all(group.removable for group in groups):  # perhaps others are to blame: these alone
        found = dependencies(model, example_input, ())
        alone = [group for group in found.groups if group.id in requested]
        groups = verified(model, example_input, alone, found.head_layouts)
    for group in groups:
        _check_indices(group, requested[group.id])
        if not group.removable:
            raise InputError(f"channels of group {group.id!r} cannot be removed: {group.reason}")
    cut(model, groups, requested)


def _check_indices(group: ChannelGroup, indices: Sequence[int]) -> None:
    place = f"channels removed from group {group.id!r}"
    if list(indices) != sorted(set(indices)):
        raise InputError(f"{place}: indices must be sorted and distinct, found {list(indices)}")
    if not 0 <= indices[0] <= indices[-1] < group.size:
        raise InputError(f"{place}: found index {indices[-1]}; allowed: 0 to {group.size - 1}")
    if len(indices) == group.size:
        raise InputError(f"{place}: all {group.size} channels; at least one must stay")


def apply_structure(
    model: nn.Module,
    example_input: Any,
    dropped: Collection[str] = (),
    removed: Mapping[str, Sequence[int]] | None = None,
) -> None:
    """Replay a record of surgery on a fresh model, in place: drop blocks, then remove channels.

    Group ids in `removed` are those of the model without the dropped blocks.
    """
    drop_blocks(model, dropped, example_input)
    remove_channels(model, example_input, removed or {})
