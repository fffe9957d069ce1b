"""Which channels go together, read from torch-pruning's dependency graph."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.instancenorm import _InstanceNorm

from autoreg.network.inputs import tensors
from autoreg.network.shapes import ChannelGroup
from autoreg.network.surgery.cut import Role, axis_of, depthwise
from autoreg.network.surgery.heads import MIXED_REASON, head_groups, unite_cyclic
from autoreg.network.surgery.joined_groups import BlockBoundary, Joined, boundary_hooks, groups_joined
from autoreg.network.surgery.partial_group import PartialGroup, as_channel_group, note_obstacles, note_overlaps, width
from autoreg.network.trace import WEIGHTED, hooked, type_name, weighted_layers

PER_CHANNEL = (_BatchNorm, _InstanceNorm, nn.PReLU, nn.Embedding)


@dataclass(frozen=True)
class Dependencies:
    """Coupled channel groups as traced, not yet verified, and what each droppable block joins.

    `head_layouts` holds, by group id, the other candidate layouts of attention heads, should the first one be wrong.
    """

    groups: tuple[ChannelGroup, ...]
    joined: Mapping[str, Joined]
    head_layouts: Mapping[str, tuple[ChannelGroup, ...]] = field(default_factory=dict)


def dependencies(model: nn.Module, example_input: Any, blocks: Sequence[str]) -> Dependencies:
    """Trace a copy of `model` and read its channel groups; where tracing fails, each layer is a fixed group."""
    twin = copy.deepcopy(model).eval()
    for parameter in twin.parameters():
        if parameter.is_floating_point():
            parameter.requires_grad_(True)  # the graph is read from autograd; frozen layers would be missing
    settings: Any = getattr(twin, "config", None)
    if getattr(settings, "use_cache", False):
        settings.use_cache = False  # of transformers: keys and values joined to an empty cache cannot be traced
    watched: dict[str, BlockBoundary] = {}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch-pruning: whether it guesses right, `verified` finds out
            graph = _graph(twin, example_input, blocks, watched)
            partials = _partial_groups(twin, graph)
    except Exception as error:  # torch-pruning raises anything on graphs it does not know
        return _untraced(model, f"torch-pruning cannot trace the model ({type(error).__name__}: {error})")
    partials = unite_cyclic(partials, twin)
    for partial in partials:
        note_obstacles(partial, twin)
    note_overlaps(partials)
    candidates = {partial.id: _candidates(partial, twin) for partial in partials}
    groups = [*[found[0] for found in candidates.values()], *_unreached(twin, set(graph.module2node))]
    order = {name: place for place, name in enumerate(weighted_layers(twin))}
    groups.sort(key=lambda group: order[group.id])
    others = {name: tuple(found[1:]) for name, found in candidates.items() if len(found) > 1}
    return Dependencies(tuple(groups), groups_joined(twin, graph, groups, watched), others)


def _candidates(partial: PartialGroup, model: nn.Module) -> list[ChannelGroup]:
    """The candidate layouts of a group, the likeliest first."""
    if not partial.mixed:
        return [as_channel_group(partial, model)]
    heads, why = head_groups(partial, model)
    return heads or [as_channel_group(partial, model, f"{MIXED_REASON}: {why}" if why else MIXED_REASON)]


def _unreached(model: nn.Module, reached: Collection[nn.Module]) -> list[ChannelGroup]:
    """A fixed group for each layer that the graph does not know."""
    owners = {
        module.out_proj: name for name, module in model.named_modules() if isinstance(module, nn.MultiheadAttention)
    }
    return [
        _fixed(
            name,
            layer,
            f"{owners[layer]!r} is an nn.MultiheadAttention, which ties its width to its heads"
            if layer in owners
            else "torch-pruning does not find this layer: it is never called, or without autograd",
        )
        for name, layer in weighted_layers(model).items()
        if layer not in reached
    ]


def _graph(model: nn.Module, example_input: Any, blocks: Sequence[str], watched: dict[str, BlockBoundary]) -> Any:
    import torch_pruning

    with hooked(boundary_hooks(model, blocks, watched)), torch.enable_grad():
        return torch_pruning.DependencyGraph().build_dependency(
            model,
            example_inputs=dict(example_input) if isinstance(example_input, Mapping) else example_input,
            output_transform=tensors,
            verbose=False,
        )


def _untraced(model: nn.Module, reason: str) -> Dependencies:
    return Dependencies(tuple(_fixed(name, layer, reason) for name, layer in weighted_layers(model).items()), {})


def _fixed(name: str, layer: nn.Module, reason: str) -> ChannelGroup:
    return ChannelGroup(
        id=name,
        size=width(layer, "out"),
        members=((name, axis_of(layer, "channel" if depthwise(layer) else "out")),),
        produced=(name,),
        spans=((0, 1),),
        removable=False,
        reason=reason,
    )


def _partial_groups(model: nn.Module, graph: Any) -> list[PartialGroup]:
    layers = weighted_layers(model)
    names: dict[Any, str] = {module: name for name, module in model.named_modules()}
    names |= {parameter: name for name, parameter in model.named_parameters()}
    partials: list[PartialGroup] = []
    seen: set[str] = set()
    cyclic: set[str] = set()
    for name, layer in layers.items():
        if name in seen or layer not in graph.module2node:
            continue
        partial = PartialGroup(name, width(layer, "out"))
        pruner = graph.get_pruner_of_module(layer)
        try:
            with _bounded(8 * len(graph.module2node) + 200):
                if name in cyclic:
                    raise _EndlessError
                group = graph.get_pruning_group(layer, pruner.prune_out_channels, list(range(partial.size)))
        except _EndlessError as endless:
            for dep, _ in endless.args[0] if endless.args else ():
                if dep.target.module in names and graph.is_out_channel_pruning_fn(dep.handler):
                    cyclic.add(names[dep.target.module])
            partial.reasons.append("torch-pruning follows these channels in a circle (as through rotary embeddings)")
            partial.cyclic = True
            partial.positions[name, "out"] = [[channel] for channel in range(partial.size)]
            partials.append(partial)
            continue
        for item in group:
            _add(partial, item, names, graph)
        for member, dim in partial.positions:
            if member in layers and dim != "in":
                seen.add(member)
        partials.append(partial)
    return partials


class _EndlessError(Exception):
    """A pruning group grew without end; its argument is what it had become."""


@contextmanager
def _bounded(most: int) -> Iterator[None]:
    """Let torch-pruning's groups grow to `most` entries, 4,000 at most; slices and concatenations can go in circles."""
    from torch_pruning.dependency import Group

    add, most = Group.add_dep, min(most, 4000)

    def bounded(group: Any, *args: Any, **kwargs: Any) -> None:
        if len(group) >= most:
            raise _EndlessError(group.items)
        add(group, *args, **kwargs)

    Group.add_dep = bounded
    try:
        yield
    finally:
        Group.add_dep = add


def _add(partial: PartialGroup, item: Any, names: Mapping[Any, str], graph: Any) -> None:
    """Take one entry of a torch-pruning group into ours."""
    module, handler = item.dep.target.module, item.dep.handler
    name = names.get(module)
    if isinstance(module, nn.Parameter):
        partial.channel_reasons.append(f"the bare parameter {name!r} of the model runs along these channels")
        return
    if name is None:  # an operation of the graph: it holds nothing to cut
        operation = str(getattr(module, "_grad_fn", "")).lower()
        if any(part in operation for part in ("scaleddotproduct", "bmm", "softmax")):
            partial.mixed = True
        return
    if isinstance(module, nn.LayerNorm | nn.GroupNorm | nn.RMSNorm):
        partial.norms[name] = module
        return
    if isinstance(module, WEIGHTED):
        pruner = graph.get_pruner_of_module(module)
        out = handler == pruner.prune_out_channels
        dim: Role = "channel" if depthwise(module) else "out" if out else "in"
    elif isinstance(module, PER_CHANNEL):
        if isinstance(module, nn.PReLU) and module.num_parameters == 1:
            return
        dim = "channel"
    else:
        ties = ": it ties its width to its heads" if isinstance(module, nn.MultiheadAttention) else ""
        partial.reasons.append(f"channels of {name!r} ({type_name(module)}) cannot be removed{ties}")
        return
    places = partial.positions.setdefault((name, dim), [[] for _ in range(partial.size)])
    for place, root in zip(item.idxs, item.root_idxs, strict=True):
        if root is None or not 0 <= root < partial.size:
            partial.channel_reasons.append(f"channels cannot be followed to {name!r}")
            return
        places[root].append(place)
