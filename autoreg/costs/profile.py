"""One look at a model: all that its costs at any level of compression depend on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.instancenorm import _InstanceNorm
from torch.nn.utils.parametrize import is_parametrized

from autoreg.costs._surgery import role
from autoreg.costs.shapes import Block, ChannelGroup, Functional, LayerProfile, OtherParams, Profile
from autoreg.costs.structure import Analysis, analyze
from autoreg.costs.trace import Trace, trace, type_name, warn, weighted_layers

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
    layers = _layers(model, found, analysis)
    warn(found.warnings)
    inside = {block: tuple(layer for layer in layers if layer.block == block) for block in analysis.blocks}
    functional = tuple(
        Functional(name, macs, _block_of(name, analysis.blocks)) for name, macs in found.functional.items()
    )
    blocks = tuple(
        Block(
            name=name,
            layers=tuple(layer.name for layer in inside[name]),
            macs=sum(layer.macs for layer in inside[name]) + sum(f.macs for f in functional if f.block == name),
            joins=joined.groups,
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
    seen = {id(parameter) for layer in layers.values() for parameter in layer.parameters()}
    found: dict[str, tuple[int, int]] = {}
    for name, module in model.named_modules():
        if _within(name, layers):
            continue
        params = 0
        for parameter in module.parameters(recurse=False):
            if id(parameter) not in seen:
                seen.add(id(parameter))
                params += parameter.numel()
        buffers = 0
        if isinstance(module, (_BatchNorm, _InstanceNorm)):
            buffers = sum(b.numel() for b in (module.running_mean, module.running_var) if b is not None)
        if params or buffers:
            found[name] = (params, buffers)
    return found


def _within(name: str, layers: Mapping[str, nn.Module]) -> bool:
    """Whether a module is a layer or attached to one (parametrizations, quantizers)."""
    while name:
        if name in layers:
            return True
        name = name.rpartition(".")[0]
    return False


def stored_weight(layer: nn.Module) -> int:
    """Identity of the tensor that holds a layer's weight, parametrized or not."""
    if is_parametrized(layer, "weight"):
        return id(layer.parametrizations.weight.original)  # type: ignore[union-attr]
    return id(layer.weight)


def tied_weights(layers: Mapping[str, nn.Module]) -> dict[str, str]:
    """For layers that share one weight tensor: the name of the first of them, by layer."""
    owners: dict[int, list[str]] = {}
    for name, layer in layers.items():
        owners.setdefault(stored_weight(layer), []).append(name)
    return {name: names[0] for names in owners.values() if len(names) > 1 for name in names}


def _layers(model: nn.Module, found: Trace, analysis: Analysis) -> tuple[LayerProfile, ...]:
    modules = weighted_layers(model)
    tied = tied_weights(modules)
    feeds = _feeds(model, analysis.groups)
    produced = {name: group.id for group in analysis.groups for name in group.produced}
    return tuple(
        LayerProfile(
            name=name,
            type=type_name(module),
            weight_shape=tuple(_weight(module).shape),
            bias=getattr(module, "bias", None) is not None,
            positions=found.positions[name],
            groups=getattr(module, "groups", 1),
            block=_block_of(name, analysis.blocks),
            out_group=produced.get(name),
            in_groups=tuple(feeds.get(name, ())),
            tied=tied.get(name),
        )
        for name, module in modules.items()
    )


def _weight(module: nn.Module) -> Tensor:
    assert isinstance(module.weight, Tensor)
    return module.weight


def _feeds(model: nn.Module, groups: Sequence[ChannelGroup]) -> dict[str, list[tuple[str, int]]]:
    """(group id, positions per channel) of the groups that feed a layer's input or a norm, by module."""
    feeds: dict[str, list[tuple[str, int]]] = {}
    for group in groups:
        for (name, axis), (_, repeat) in zip(group.members, group.spans, strict=False):
            if role(model.get_submodule(name), axis) != "out":
                feeds.setdefault(name, []).append((group.id, repeat))
    return feeds


def _others(model: nn.Module, analysis: Analysis) -> tuple[OtherParams, ...]:
    feeds = _feeds(model, analysis.groups)
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
