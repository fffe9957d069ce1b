"""Surgery: drop whole blocks, remove channels for real, and say what can be removed at all.

Groups of coupled channels come from torch-pruning's dependency graph (Fang et al., "DepGraph: Towards Any Structural
Pruning", CVPR 2023, arXiv:2301.12900). The graph is a heuristic, so each group is *probed* before it is called
removable: on a copy with random weights, the model with some channels removed must compute what the model computes
when those channels are ignored. What fails the probe is reported with the reason.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from autoreg.costs._dependency import Joined, dependencies
from autoreg.costs._probe import probe
from autoreg.costs._surgery import cut
from autoreg.costs.shapes import ChannelGroup
from autoreg.costs.trace import WEIGHTED, call, evaluating, hooked
from autoreg.errors import InputError

__all__ = [
    "Analysis",
    "Joined",
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
    groups = probe(model, example_input, found.groups)
    return Analysis(groups, {name: found.joined.get(name, Joined(fixed=True)) for name in blocks})


def find_blocks(model: nn.Module, example_input: Any) -> tuple[str, ...]:
    """Names of the blocks that can be dropped, in `named_modules` order.

    A block is a child of a `Sequential` or `ModuleList` that has children of its own and at least one weighted
    layer, runs once, and maps one tensor to one of the same shape and type. Of nested ones only the outermost
    is named; a `Sequential` of blocks is a stage, not a block.
    """
    runs: dict[str, list[bool]] = {}
    handles = []
    for name in _candidates(model):

        def hook(module: nn.Module, inputs: Any, named: Any, output: Any, name: str = name) -> None:
            runs.setdefault(name, []).append(not named and len(inputs) == 1 and _alike(inputs[0], output))

        handles.append(model.get_submodule(name).register_forward_hook(hook, with_kwargs=True))
    with hooked(handles), evaluating(model), torch.no_grad():
        call(model, example_input)
    whole = [name for name, seen in runs.items() if seen == [True]]
    blocks: list[str] = []
    for name, module in model.named_modules():
        inside = any(name.startswith(f"{block}.") for block in blocks)
        stage = isinstance(module, nn.Sequential) and any(other.startswith(f"{name}.") for other in whole)
        if name in whole and not inside and not stage and not _used_elsewhere(model, name, module):
            blocks.append(name)
    return tuple(blocks)


def _candidates(model: nn.Module) -> list[str]:
    found = []
    for name, parent in model.named_modules():
        if isinstance(parent, nn.Sequential | nn.ModuleList):
            for child_name, child in parent.named_children():
                inner = list(child.modules())[1:]
                if inner and any(isinstance(module, WEIGHTED) for module in inner):
                    found.append(f"{name}.{child_name}" if name else child_name)
    return found


def _alike(one: Any, other: Any) -> bool:
    both = isinstance(one, Tensor) and isinstance(other, Tensor)
    return both and one.shape == other.shape and one.dtype == other.dtype


def _used_elsewhere(model: nn.Module, name: str, block: nn.Module) -> bool:
    """Whether the block shares modules with the rest of the model."""
    inside = set(block.modules())
    return any(
        module in inside and other != name and not other.startswith(f"{name}.")
        for other, module in model.named_modules(remove_duplicate=False)
    )


def drop_blocks(model: nn.Module, names: Collection[str]) -> None:
    """Replace blocks by `nn.Identity`, in place.

    Raises:
        InputError: When the model has no module of that name.
    """
    known = dict(model.named_modules())
    for name in names:
        if name not in known or not name:
            raise InputError(_unknown("block", name, known))
    for name in names:
        parent, _, child = name.rpartition(".")
        setattr(model.get_submodule(parent), child, nn.Identity())


def channel_groups(model: nn.Module, example_input: Any) -> tuple[ChannelGroup, ...]:
    """All groups of coupled channels, in the order of their ids' layers, removable or not."""
    return probe(model, example_input, dependencies(model, example_input, ()).groups)


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
    asked = {name: list(indices) for name, indices in removed.items() if len(indices)}
    if not asked:
        return
    groups = dependencies(model, example_input, ()).groups
    known = {group.id: group for group in groups}
    for name, indices in asked.items():
        if name not in known:
            raise InputError(_unknown("channel group", name, known))
        _check_indices(known[name], indices)
    for group in probe(model, example_input, [known[name] for name in asked]):
        if not group.removable:
            raise InputError(f"channels of group {group.id!r} cannot be removed: {group.reason}")
    cut(model, groups, asked)


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
    drop_blocks(model, dropped)
    remove_channels(model, example_input, removed or {})


def _unknown(what: str, name: str, known: Collection[str]) -> str:
    near = difflib.get_close_matches(name, [one for one in known if one], 1)
    hint = f"; did you mean {near[0]!r}?" if near else f"; there are {', '.join(sorted(known)) or 'none'}"
    return f"the model has no {what} called {name!r}{hint}"
