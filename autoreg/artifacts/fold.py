"""Batch norms folded into the layers before them, integer weights included."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from autoreg.artifacts.deployable import Deployable, Grid, LayerCode
from autoreg.methods.weights import is_transposed, weighted_layers
from autoreg.network.consumers import sole_consumers, tensor_version
from autoreg.network.inputs import call
from autoreg.network.trace import evaluating, hooked

_LEAST = 1e-30  # a channel whose batch norm multiplies by zero keeps a positive scale


def fold(found: Deployable, example_input: Any) -> Deployable:
    """Fold every batch norm that alone consumes a layer's output into that layer; the norm becomes an identity.

    With f = gamma / sqrt(var + eps), weights are multiplied by f along the outputs and the bias becomes
    (bias - mean) * f + beta. Integers stay as they are, since f goes into the scale of each output; where f is
    negative they are mirrored within their range.

    Args:
        found: left as it was.
        example_input: what the model is called with; one pass shows which norm follows which layer.
    """
    model = copy.deepcopy(found.model)
    modules = dict(model.named_modules())
    codes = dict(found.codes)
    for layer_name, norm_name in _pairs(model, example_input).items():
        layer, norm = modules[layer_name], modules[norm_name]
        assert isinstance(norm, _BatchNorm)
        factor, shift = _affine(norm)
        _fold_values(layer, factor, shift)
        code = codes.get(layer_name)
        if code is not None and code.weight is not None:
            codes[layer_name] = _fold_code(code, factor, 1 if is_transposed(layer) else 0)
        parent, _, child = norm_name.rpartition(".")
        setattr(model.get_submodule(parent), child, nn.Identity())
    return replace(found, model=model.eval(), codes=codes)


def _pairs(model: nn.Module, example_input: Any) -> dict[str, str]:
    """By layer, the batch norm that alone consumes its output, as the layer returned it; both are called once."""
    produced: dict[int, tuple[str, int]] = {}
    changed: set[str] = set()  # layers whose output was changed in place before somebody got it
    used: dict[str, list[str]] = {}
    times: dict[str, int] = {}
    alive: list[Any] = []  # ids are unique only while their tensors live
    handles = []
    layers = dict(weighted_layers(model))
    for name, module in model.named_modules():
        if name not in layers and any(True for _ in module.children()):
            continue

        def hook(module: nn.Module, args: tuple[Any, ...], output: Any, name: str = name) -> None:
            times[name] = times.get(name, 0) + 1
            for value in args:
                if isinstance(value, Tensor) and id(value) in produced:
                    layer, then = produced[id(value)]
                    used.setdefault(layer, []).append(name)
                    if tensor_version(value) != then:
                        changed.add(layer)
            if name in layers and isinstance(output, Tensor):
                produced[id(output)] = name, tensor_version(output)
            alive.append((args, output))

        handles.append(module.register_forward_hook(hook))
    with hooked(handles), evaluating(model), torch.no_grad():
        call(model, example_input)
    modules = dict(model.named_modules())
    pairs = {
        layer: users[0]
        for layer, users in used.items()
        if len(users) == 1
        and layer not in changed
        and times[layer] == times[users[0]] == 1
        and _foldable(modules[layer], modules[users[0]])
    }
    return sole_consumers(model, lambda network: call(network, example_input), pairs)


def _foldable(layer: nn.Module, norm: nn.Module) -> bool:
    """Whether a layer's weight has its outputs along one axis, and the module after it is a norm with statistics."""
    plain = not is_transposed(layer) or int(getattr(layer, "groups", 1)) == 1
    return plain and isinstance(norm, _BatchNorm) and norm.running_mean is not None


def _affine(norm: _BatchNorm) -> tuple[Tensor, Tensor]:
    """What a batch norm in evaluation mode does: value * factor + shift, [channels] each."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    factor = (norm.running_var.double() + norm.eps).rsqrt()
    if norm.weight is not None:
        factor = factor * norm.weight.double()
    shift = -norm.running_mean.double() * factor
    if norm.bias is not None:
        shift = shift + norm.bias.double()
    return factor, shift


def _fold_values(layer: nn.Module, factor: Tensor, shift: Tensor) -> None:
    weight, bias = layer.weight, layer.bias
    assert isinstance(weight, Tensor)
    axis = 1 if is_transposed(layer) else 0
    shape = [-1 if dim == axis else 1 for dim in range(weight.ndim)]
    value = weight.detach().double() * factor.reshape(shape)
    layer.weight = nn.Parameter(value.to(weight.dtype), requires_grad=False)
    old = bias.detach().double() if isinstance(bias, Tensor) else torch.zeros_like(factor)
    layer.bias = nn.Parameter((old * factor + shift).to(weight.dtype), requires_grad=False)


def _fold_code(code: LayerCode, factor: Tensor, axis: int) -> LayerCode:
    assert code.weight is not None
    assert code.integers is not None
    grid = code.weight
    outputs = factor.numel()
    scale = grid.scale.expand(outputs).double() * factor.abs()
    zero_point = grid.zero_point.expand(outputs).clone()
    integers = code.integers.clone()
    flipped = factor < 0
    if bool(flipped.any()):
        whole = grid.low + grid.high
        if whole == -1 and not bool((integers == grid.low).any()):
            whole = 0  # the lowest integer is not used: the range is symmetric
        along = integers.movedim(axis, 0)
        along[flipped] = whole - along[flipped]
        zero_point[flipped] = whole - zero_point[flipped]
    folded = Grid(scale.clamp_min(_LEAST).float(), zero_point, grid.low, grid.high, grid.bits)
    return replace(code, weight=folded, integers=integers, axis=axis)
