"""Which channels go together, read from torch-pruning's dependency graph."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd
from torch.nn.modules.instancenorm import _InstanceNorm

from autoreg.costs._surgery import Role, axis_of, depthwise, role
from autoreg.costs.shapes import ChannelGroup
from autoreg.costs.trace import WEIGHTED, hooked, tensors, type_name, weighted_layers

PER_CHANNEL = (_BatchNorm, _InstanceNorm, nn.PReLU, nn.Embedding)


@dataclass(frozen=True)
class Joined:
    """What dropping a block does to channel groups: see `autoreg.costs.shapes.Block`."""

    groups: tuple[str, ...] = ()
    fixed: bool = False


@dataclass(frozen=True)
class Dependencies:
    """Coupled channel groups as traced, not yet probed, and what each droppable block joins."""

    groups: tuple[ChannelGroup, ...]
    joined: Mapping[str, Joined]


@dataclass
class _Draft:
    """A channel group that is being put together; `positions` maps each member to [channel] -> its positions."""

    id: str
    size: int
    positions: dict[tuple[str, Role], list[list[int]]] = field(default_factory=dict)
    reasons: list[str] = field(default_factory=list)


def dependencies(model: nn.Module, example_input: Any, blocks: Sequence[str]) -> Dependencies:
    """Trace a copy of `model` and read its channel groups; where tracing fails, each layer is a fixed group."""
    twin = copy.deepcopy(model).eval()
    for parameter in twin.parameters():
        if parameter.is_floating_point():
            parameter.requires_grad_(True)  # the graph is read from autograd; frozen layers would be missing
    watched: dict[str, tuple[Any, Any]] = {}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch-pruning's own guesses: the probe finds out what they are worth
            graph = _graph(twin, example_input, blocks, watched)
            drafts = _drafts(twin, graph)
    except Exception as error:  # torch-pruning raises anything on graphs it does not know
        return _untraced(model, f"torch-pruning cannot trace the model ({type(error).__name__}: {error})")
    for draft in drafts:
        _check(draft, twin)
    _check_overlap(drafts)
    groups = tuple(_finish(draft, twin) for draft in drafts)
    return Dependencies(groups, _joins(twin, graph, groups, watched))


def _graph(model: nn.Module, example_input: Any, blocks: Sequence[str], watched: dict[str, tuple[Any, Any]]) -> Any:
    import torch_pruning

    handles = []
    for name in blocks:
        entry: dict[str, Any] = {}

        def before(module: nn.Module, inputs: tuple[Tensor, ...], entry: dict[str, Any] = entry) -> None:
            entry["in"] = inputs[0].grad_fn

        def after(
            module: nn.Module, inputs: Any, output: Tensor, name: str = name, entry: dict[str, Any] = entry
        ) -> None:
            watched[name] = (entry["in"], output.grad_fn)

        block = model.get_submodule(name)
        handles += [block.register_forward_pre_hook(before), block.register_forward_hook(after)]
    with hooked(handles), torch.enable_grad():
        return torch_pruning.DependencyGraph().build_dependency(
            model,
            example_inputs=dict(example_input) if isinstance(example_input, Mapping) else example_input,
            output_transform=tensors,
            verbose=False,
        )


def _untraced(model: nn.Module, reason: str) -> Dependencies:
    groups = tuple(
        ChannelGroup(
            id=name,
            size=_width(layer, "out"),
            members=((name, axis_of(layer, "channel" if depthwise(layer) else "out")),),
            produced=(name,),
            spans=((0, 1),),
            removable=False,
            reason=reason,
        )
        for name, layer in weighted_layers(model).items()
    )
    return Dependencies(groups, {})


def _width(module: nn.Module, dim: Role) -> int:
    """Positions along dimension `dim` of a module."""
    for attribute in _WIDTHS["in" if dim == "in" else "out"]:
        if hasattr(module, attribute):
            return int(getattr(module, attribute))
    raise TypeError(f"a {type(module).__name__} has no channels")


_WIDTHS = {
    "in": ("in_channels", "in_features"),
    "out": ("out_channels", "out_features", "num_features", "num_parameters", "embedding_dim"),
}


def _produces(module: nn.Module, dim: Role) -> bool:
    return dim != "in" and isinstance(module, WEIGHTED)


def _drafts(model: nn.Module, graph: Any) -> list[_Draft]:
    layers = weighted_layers(model)
    names = {module: name for name, module in model.named_modules()}
    drafts: list[_Draft] = []
    seen: set[str] = set()
    for name, layer in layers.items():
        if name in seen or layer not in graph.module2node:
            continue
        draft = _Draft(name, _width(layer, "out"))
        pruner = graph.get_pruner_of_module(layer)
        group = graph.get_pruning_group(layer, pruner.prune_out_channels, list(range(draft.size)))
        for item in group:
            _add(draft, item, names, graph)
        for member, dim in draft.positions:
            if member in layers and dim != "in":
                seen.add(member)
        drafts.append(draft)
    return drafts


def _add(draft: _Draft, item: Any, names: Mapping[nn.Module, str], graph: Any) -> None:
    """Take one entry of a torch-pruning group into the draft."""
    module, handler = item.dep.target.module, item.dep.handler
    if isinstance(module, nn.Parameter):
        draft.reasons.append("a bare parameter of the model runs along these channels")
        return
    name = names.get(module)
    if name is None:  # an operation of the graph: it holds nothing to cut
        operation = str(getattr(module, "_grad_fn", "")).lower()
        if any(part in operation for part in ("scaleddotproduct", "bmm", "softmax")):
            draft.reasons.insert(0, "these channels pass through a matrix product or softmax (attention heads)")
        return
    if isinstance(module, nn.LayerNorm | nn.GroupNorm | nn.RMSNorm):
        draft.reasons.append(f"{name!r} ({type_name(module)}) normalizes over these channels")
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
        draft.reasons.append(f"channels of {name!r} ({type_name(module)}) cannot be removed")
        return
    places = draft.positions.setdefault((name, dim), [[] for _ in range(draft.size)])
    for place, root in zip(item.idxs, item.root_idxs, strict=True):
        if root is None or not 0 <= root < draft.size:
            draft.reasons.append(f"channels cannot be followed to {name!r}")
            return
        places[root].append(place)


def _check(draft: _Draft, model: nn.Module) -> None:
    """Note why a group cannot be removed, as far as its structure shows."""
    if draft.size == 1:
        draft.reasons.append("there is only one channel")
    if not any(dim == "in" for _, dim in draft.positions):
        draft.reasons.append("these channels are the model's output: no layer consumes them")
    tied = _shared(model)
    for (name, dim), places in draft.positions.items():
        module = model.get_submodule(name)
        if isinstance(module, _ConvNd) and module.groups > 1 and not depthwise(module):
            draft.reasons.append(f"{name!r} is a grouped convolution")
        if tied & {id(p) for p in module.parameters(recurse=False)}:
            draft.reasons.append(f"{name!r} shares its weight with another module")
        span = _span(places)
        width = _width(module, dim)
        if span is None or span[0] + span[1] * draft.size > width or (_produces(module, dim) and span != (0, 1)):
            draft.reasons.append(f"channels do not map one to one to {name!r} (sliced, padded or mixed)")
        elif _produces(module, dim) and width != draft.size:
            draft.reasons.append(f"only a part of the channels of {name!r} belongs here (sliced, padded or joined)")


def _shared(model: nn.Module) -> set[int]:
    """Ids of parameters that several modules hold."""
    held: dict[int, int] = {}
    for module in model.modules():
        for parameter in module.parameters(recurse=False):
            held[id(parameter)] = held.get(id(parameter), 0) + 1
    return {key for key, times in held.items() if times > 1}


def _span(places: Sequence[Sequence[int]]) -> tuple[int, int] | None:
    """(start, repeat) when channel c lies at start + c * repeat ..., else None.

    Example:
        >>> _span([[4, 5], [6, 7]]), _span([[0], [2]])
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


def _check_overlap(drafts: Sequence[_Draft]) -> None:
    owner: dict[tuple[str, str, int], _Draft] = {}
    for draft in drafts:
        for (name, dim), places in draft.positions.items():
            for place in {place for found in places for place in found}:
                other = owner.setdefault((name, dim, place), draft)
                if other is not draft:
                    for one in (other, draft):
                        one.reasons.append(f"two groups of channels meet in {name!r}")


def _finish(draft: _Draft, model: nn.Module) -> ChannelGroup:
    modules = dict(model.named_modules())
    order = {name: place for place, name in enumerate(modules)}
    members = sorted(draft.positions, key=lambda member: (order[member[0]], member[1] == "in"))
    spans = [_span(draft.positions[member]) for member in members]
    reasons = list(dict.fromkeys(draft.reasons))
    return ChannelGroup(
        id=draft.id,
        size=draft.size,
        members=tuple((name, axis_of(modules[name], dim)) for name, dim in members),
        produced=tuple(name for name, dim in members if _produces(modules[name], dim)),
        consumed=tuple(name for name, dim in members if dim == "in"),
        spans=() if None in spans else tuple(span for span in spans if span is not None),
        removable=not reasons,
        reason="; ".join(reasons[:3]),
    )


def _joins(
    model: nn.Module, graph: Any, groups: Sequence[ChannelGroup], watched: Mapping[str, tuple[Any, Any]]
) -> dict[str, Joined]:
    """Compare the channel groups before and behind each block."""
    nodes = {node.grad_fn: node for node in graph.module2node.values()}
    produced = {
        name: group.id
        for group in groups
        for name, axis in group.members
        if role(model.get_submodule(name), axis) != "in"
    }
    names = {module: name for name, module in model.named_modules()}
    joined: dict[str, Joined] = {}
    for block, ends in watched.items():
        found: list[str] = []
        certain = True
        for grad_fn in ends:
            ids, sure = _producers(nodes.get(grad_fn), produced, names)
            found += [name for name in ids if name not in found]
            certain = certain and sure and len(ids) == 1
        joined[block] = Joined() if certain and len(found) == 1 else Joined(tuple(found), fixed=not certain)
    return joined


def _producers(node: Any, produced: Mapping[str, str], names: Mapping[nn.Module, str]) -> tuple[list[str], bool]:
    """Groups of the layers whose output arrives at a node of the graph, and whether it arrives unchanged."""
    from torch_pruning.ops import OPTYPE

    plain = {OPTYPE.ELEMENTWISE, OPTYPE.BN, OPTYPE.LN, OPTYPE.GN, OPTYPE.IN, OPTYPE.PRELU, OPTYPE.OUTPUT}
    stack, seen, found, sure = [node], set(), list[str](), node is not None
    while stack:
        current = stack.pop()
        if current is None or current in seen:
            continue
        seen.add(current)
        name = names.get(current.module)
        if name is not None and name in produced and isinstance(current.module, (*WEIGHTED, nn.Embedding)):
            found.append(produced[name])
            continue
        sure = sure and current.type in plain
        stack += current.inputs
    return list(dict.fromkeys(found)), sure
