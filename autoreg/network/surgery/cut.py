"""Cutting channels out of tensors and modules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.nn.modules.instancenorm import _InstanceNorm

from autoreg.network.shapes import ChannelGroup
from autoreg.network.trace import WEIGHTED

CutPositions = dict[tuple[str, int], set[int]]
Role = Literal["out", "in", "channel"]


def depthwise(module: nn.Module) -> bool:
    """Whether every channel has a filter of its own, so that in and out go together."""
    return isinstance(module, _ConvNd) and 1 < module.groups == module.out_channels == module.in_channels


def role(module: nn.Module, axis: int) -> Role:
    """What an axis of a module's weight stands for: outputs, inputs, or channels that only pass through."""
    if not isinstance(module, WEIGHTED) or depthwise(module):
        return "channel"
    return "out" if axis == int(isinstance(module, _ConvTransposeNd)) else "in"


def axis_of(module: nn.Module, role: Role) -> int:
    """The inverse of `role`."""
    if role == "channel":
        return int(isinstance(module, nn.Embedding))
    return int(isinstance(module, _ConvTransposeNd) is (role == "out"))


def cut_positions(groups: Sequence[ChannelGroup], removed: Mapping[str, Sequence[int]]) -> CutPositions:
    """Positions to cut by (module, axis of its weight), when `removed` channels leave each group."""
    found: CutPositions = {}
    for group in groups:
        for number, member in enumerate(group.members if group.id in removed else ()):
            places = found.setdefault(member, set())
            for channel in removed[group.id]:
                places.update(group.positions(channel, number))
    return found


def cut(model: nn.Module, groups: Sequence[ChannelGroup], removed: Mapping[str, Sequence[int]]) -> None:
    """Remove channels from every module of their groups, in place; parameters become new objects.

    Attributes that count heads, or the width of all of them, go down.
    """
    found = {key: (model.get_submodule(key[0]), places) for key, places in cut_positions(groups, removed).items()}
    roles = {key: role(module, key[1]) for key, (module, _) in found.items()}  # before the first cut changes a shape
    for key, (module, places) in found.items():
        if isinstance(module, _ConvNd):
            _cut_conv(module, roles[key], places)
        elif isinstance(module, nn.Linear):
            _cut_linear(module, roles[key], places)
        else:
            _cut_other(module, places)
    for group in groups:
        for name, attribute, each in group.attributes if group.id in removed else ():
            module = model.get_submodule(name)
            setattr(module, attribute, getattr(module, attribute) - each * len(removed[group.id]))


def silence(model: nn.Module, groups: Sequence[ChannelGroup], removed: Mapping[str, Sequence[int]]) -> None:
    """Make every consumer ignore channels, in place: what `cut` must equal."""
    for (name, axis), places in cut_positions(groups, removed).items():
        module = model.get_submodule(name)
        if role(module, axis) == "in":
            weight = module.weight
            assert isinstance(weight, Tensor)
            with torch.no_grad():
                weight.index_fill_(axis, torch.tensor(sorted(places), device=weight.device), 0.0)


def _remaining(size: int, places: set[int]) -> list[int]:
    return [place for place in range(size) if place not in places]


def _select(module: nn.Module, name: str, axis: int, remaining: list[int]) -> None:
    """Keep the entries `remaining` along `axis` of a parameter or buffer, if the module has it."""
    old = getattr(module, name, None)
    if old is None:
        return
    new = old.detach().index_select(axis, torch.tensor(remaining, device=old.device)).clone()
    setattr(module, name, nn.Parameter(new, requires_grad=old.requires_grad) if isinstance(old, nn.Parameter) else new)


def _cut_conv(module: _ConvNd, dim: Role, places: set[int]) -> None:
    out_axis, in_axis = (1, 0) if isinstance(module, _ConvTransposeNd) else (0, 1)
    if dim == "channel":  # depthwise: one filter per channel along the first axis, in either storage order
        remaining = _remaining(module.out_channels, places)
        _select(module, "weight", 0, remaining)
        _select(module, "bias", 0, remaining)
        module.in_channels = module.out_channels = module.groups = len(remaining)
    elif dim == "out":
        remaining = _remaining(module.out_channels, places)
        _select(module, "weight", out_axis, remaining)
        _select(module, "bias", 0, remaining)
        module.out_channels = len(remaining)
    else:
        remaining = _remaining(module.in_channels, places)
        _select(module, "weight", in_axis, remaining)
        module.in_channels = len(remaining)


def _cut_linear(module: nn.Linear, dim: Role, places: set[int]) -> None:
    if dim == "out":
        remaining = _remaining(module.out_features, places)
        _select(module, "weight", 0, remaining)
        _select(module, "bias", 0, remaining)
        module.out_features = len(remaining)
    else:
        remaining = _remaining(module.in_features, places)
        _select(module, "weight", 1, remaining)
        module.in_features = len(remaining)


def _cut_other(module: nn.Module, places: set[int]) -> None:
    if isinstance(module, (_BatchNorm, _InstanceNorm)):
        remaining = _remaining(module.num_features, places)
        for name in ("weight", "bias", "running_mean", "running_var"):
            _select(module, name, 0, remaining)
        module.num_features = len(remaining)
    elif isinstance(module, nn.PReLU):
        remaining = _remaining(module.num_parameters, places)
        _select(module, "weight", 0, remaining)
        module.num_parameters = len(remaining)
    elif isinstance(module, nn.Embedding):
        remaining = _remaining(module.embedding_dim, places)
        _select(module, "weight", 1, remaining)
        module.embedding_dim = len(remaining)
    else:  # the dependency analysis lets nothing else through
        raise TypeError(f"channels of a {type(module).__name__} cannot be cut")
