"""One look at a model: all that its costs at any level of compression depend on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.instancenorm import _InstanceNorm
from torch.nn.utils.parametrize import is_parametrized

from autoreg.network.operations import is_attached
from autoreg.network.shapes import Block, ChannelGroup, Functional, LayerProfile, OtherParams, Profile
from autoreg.network.surgery.apply import Analysis, analyze
from autoreg.network.surgery.cut import role
from autoreg.network.surgery.factorize import factorable
from autoreg.network.trace import Trace, has_plain_weight, trace, type_name, warn, weighted_layers
from autoreg.network.weights import weight_of

__all__ = ["Block", "ChannelGroup", "Functional", "LayerProfile", "OtherParams", "Profile", "profile"]


def profile(model: nn.Module, example_input: Any) -> Profile:
    """Profile a model that nothing is attached to (no masks, no fake quantization).

    Args:
        model: Any module; convolutions (1-d to 3-d, grouped, transposed) and linear layers are its layers. It is
            run on copies and in evaluation mode, and left as it was.
        example_input: What the model is called with: a tensor, a tuple of positional or a mapping of keyword
            arguments. Counts are per sample of its first dimension.

    Warns:
        UserWarning: Naming what cannot be counted.
    """
    found = trace(model, example_input)
    analysis = analyze(model, example_input)
    layers = _layers(model, found, analysis, factorable(model, example_input))
    warn(found.warnings)
    inside = {block: tuple(layer for layer in layers if layer.block == block) for block in analysis.blocks}
    work: dict[str, list[tuple[str, int]]] = {}
    for group in analysis.groups:
        for name, macs in group.work:
            work.setdefault(name, []).append((group.id, macs))
    functional = tuple(
        Functional(name, macs, _block_of(name, analysis.blocks), tuple(work.get(name, ())))
        for name, macs in found.functional.items()
    )
    blocks = tuple(
        Block(
            name=name,
            layers=tuple(layer.name for layer in inside[name]),
            macs=sum(layer.macs for layer in inside[name]) + sum(f.macs for f in functional if f.block == name),
            joined=joined.groups,
            fixed=joined.fixed,
        )
        for name, joined in analysis.blocks.items()
    )
    return Profile(
        layers=layers,
        channel_groups=analysis.groups,
        blocks=blocks,
        functional=functional,
        others=_others(model, analysis),
        warnings=found.warnings,
    )


def other_numbers(model: nn.Module) -> dict[str, tuple[int, int]]:
    """(parameters, running statistics) by module, outside of weighted layers; what is shared counts once."""
    layers = weighted_layers(model)
    seen = {id(parameter) for layer in layers.values() for parameter in _own_parameters(layer)}
    found: dict[str, tuple[int, int]] = {}
    for name, module in model.named_modules():
        if is_attached(name):
            continue
        originals, params = ([], 0) if name in layers else _parametrized(module)
        for parameter in (*module.parameters(recurse=False), *originals):
            if id(parameter) not in seen:
                seen.add(id(parameter))
                params += parameter.numel()
        buffers = 0
        if isinstance(module, (_BatchNorm, _InstanceNorm)):
            buffers = sum(b.numel() for b in (module.running_mean, module.running_var) if b is not None)
        if params or buffers:
            found[name] = (params, buffers)
    return found


def _own_parameters(layer: nn.Module) -> list[nn.Parameter]:
    """What a layer computes its weight and bias from: counted as these, whatever it is made of."""
    if not has_plain_weight(layer):  # the older `weight_norm` and `spectral_norm`
        return list(layer.parameters(recurse=False))
    plain = [layer._parameters.get(name) for name in ("weight", "bias")]
    return [parameter for parameter in plain if parameter is not None] + _parametrized(layer)[0]


def _parametrized(module: nn.Module) -> tuple[list[nn.Parameter], int]:
    """The parameters that parametrizations of a module act on; numbers of those computed from several."""
    if isinstance(module, torch.jit.ScriptModule) or not is_parametrized(module):
        return [], 0
    holders: Any = module.parametrizations
    originals = [held.original for held in holders.values() if hasattr(held, "original")]
    with torch.no_grad():
        several = sum(getattr(module, name).numel() for name, held in holders.items() if not hasattr(held, "original"))
    return originals, several


def stored_weight(layer: nn.Module) -> int:
    """Identity of the tensor that holds a layer's weight, parametrized or not."""
    if is_parametrized(layer, "weight"):
        held: Any = layer.parametrizations.weight  # type: ignore[union-attr]
        return id(getattr(held, "original", held))  # computed from several parameters, as by weight normalization
    return id(layer.weight)


def stored_biases(layers: Mapping[str, nn.Module]) -> dict[str, int]:
    """Numbers in the bias of each layer that has one; a bias that layers share is that of the first of them."""
    found: dict[int, tuple[str, int]] = {}
    for name, layer in layers.items():
        bias = getattr(layer, "bias", None)
        if bias is not None:
            held = layer.parametrizations.bias if is_parametrized(layer, "bias") else None  # type: ignore[union-attr]
            found.setdefault(id(bias if held is None else held), (name, bias.numel()))
    return dict(found.values())


def tied_weights(layers: Mapping[str, nn.Module]) -> dict[str, str]:
    """For layers that share one weight tensor: the name of the first of them, by layer."""
    owners: dict[int, list[str]] = {}
    for name, layer in layers.items():
        owners.setdefault(stored_weight(layer), []).append(name)
    return {name: names[0] for names in owners.values() if len(names) > 1 for name in names}


def shared_weights(model: nn.Module) -> frozenset[str]:
    """Names of the weighted layers whose weight another module holds too, as a head that is tied to an embedding.

    Recipes leave them as they are: a mask or a quantizer acts on one layer, and what is stored once cannot be both.
    """
    holders = Counter(id(parameter) for module in model.modules() for parameter in module.parameters(recurse=False))
    return frozenset(
        name
        for name, layer in weighted_layers(model).items()
        if any(holders[id(parameter)] > 1 for parameter in _own_parameters(layer) if parameter is not layer.bias)
    )


def _layers(model: nn.Module, found: Trace, analysis: Analysis, factored: Collection[str]) -> tuple[LayerProfile, ...]:
    modules = weighted_layers(model)
    tied, biases, shared = tied_weights(modules), stored_biases(modules), shared_weights(model)
    feeds = _feeds(model, analysis.groups)
    produced = {name: group.id for group in analysis.groups for name in group.produced}
    repeats = _repeats(model, analysis.groups)
    return tuple(
        LayerProfile(
            name=name,
            type=type_name(module),
            weight_shape=tuple(weight_of(module).shape),
            bias=name in biases,
            positions=found.positions[name],
            groups=getattr(module, "groups", 1),
            block=_block_of(name, analysis.blocks),
            out_group=produced.get(name),
            in_groups=tuple(feeds.get(name, ())),
            tied=tied.get(name),
            factorable=name in factored,
            out_repeat=repeats.get(name, 1),
            shared=name in shared,
            called=name not in found.uncalled,
        )
        for name, module in modules.items()
    )


def _feeds(model: nn.Module, groups: Sequence[ChannelGroup]) -> dict[str, list[tuple[str, int]]]:
    """(group id, positions per channel) of the groups that feed a layer's input or a norm, by module."""
    feeds: dict[str, list[tuple[str, int]]] = {}
    for group in groups:
        for (name, axis), (_, repeat) in zip(group.members, group.spans, strict=False):
            if role(model.get_submodule(name), axis) != "out":
                feeds.setdefault(name, []).append((group.id, repeat))
    return feeds


def _repeats(model: nn.Module, groups: Sequence[ChannelGroup]) -> dict[str, int]:
    """Outputs per channel of its group, by layer that produces one."""
    found: dict[str, int] = {}
    for group in groups:
        for (name, axis), (_, repeat) in zip(group.members, group.spans, strict=False):
            if name in group.produced and role(model.get_submodule(name), axis) != "in":
                found[name] = found.get(name, 0) + repeat
    return found


def _others(model: nn.Module, analysis: Analysis) -> tuple[OtherParams, ...]:
    layers = weighted_layers(model)
    feeds = {name: fed for name, fed in _feeds(model, analysis.groups).items() if name not in layers}
    widths = {name: _width(module) for name, module in model.named_modules() if name in feeds}
    return tuple(
        OtherParams(
            name=name,
            type=type_name(model.get_submodule(name)),
            params=params,
            buffers=buffers,
            block=_block_of(name, analysis.blocks),
            per_channel=tuple(
                (group, params // widths[name] * repeat, buffers // widths[name] * repeat)
                for group, repeat in feeds.get(name, ())
            ),
        )
        for name, (params, buffers) in other_numbers(model).items()
    )


def _width(module: nn.Module) -> int:
    """Channels that a norm or an embedding holds parameters for."""
    for attribute in ("num_features", "num_channels", "num_parameters", "embedding_dim"):
        if hasattr(module, attribute):
            return int(getattr(module, attribute))
    return int(module.normalized_shape[-1]) if isinstance(module, nn.LayerNorm) else 1


def _block_of(name: str, blocks: Mapping[str, Any]) -> str | None:
    return next((block for block in blocks if name == block or name.startswith(f"{block}.")), None)
