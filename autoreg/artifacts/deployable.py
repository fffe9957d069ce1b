"""From a trained model, masked and fake-quantized, to plain weights and the integer codes that stand for them."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from autoreg.methods.modules.quantizers import ActivationQuantizer
from autoreg.methods.quantization.attach import (
    bake_quantizers,
    input_quantizers,
    quantizers_of_outputs,
    remove_quantizers,
    weight_quantizer,
)
from autoreg.methods.sparsity.masks import bake_masks, masks
from autoreg.methods.weights import is_transposed, weighted_layers


@dataclass(frozen=True)
class Grid:
    """An affine grid: value = (integer - zero_point) * scale, integers in [low, high].

    Attributes:
        scale: float32, positive, shape [1] or [outputs].
        zero_point: int32, shaped like `scale`.
        low: lowest integer.
        high: highest integer.
        bits: 2 to 8.
    """

    scale: Tensor
    zero_point: Tensor
    low: int
    high: int
    bits: int


@dataclass(frozen=True)
class LayerCode:
    """How one weighted layer is held and fed.

    Attributes:
        weight: grid of the weight; None where it is held in floating point.
        integers: int16, shaped like the layer's weight; None with `weight`.
        axis: dimension of the weight along which the scales lie; None where there is one scale.
        input: grid of what enters the layer, with one scale; None where that is floating point.
        shared: whether every consumer of that tensor sees it on the grid.
        output: grid of the layer's output, after its batch norm, with one scale; None where it is not quantized.
    """

    weight: Grid | None = None
    integers: Tensor | None = None
    axis: int | None = None
    input: Grid | None = None
    shared: bool = False
    output: Grid | None = None


@dataclass(frozen=True)
class Deployable:
    """A finished network, as the files are written from it.

    Attributes:
        model: a plain copy on the CPU in evaluation mode: no parametrizations, no quantizers. Its weights hold the
            values of their integers, with masked zeros written out.
        codes: by layer, for those whose weight, input or output is on a grid.
        masks: by layer, bool, True stays; only where a mask was.
    """

    model: nn.Module
    codes: Mapping[str, LayerCode]
    masks: Mapping[str, Tensor]


def deployable(model: nn.Module) -> Deployable:
    """Take masks and quantizers off a copy of `model`, keeping what they computed.

    Args:
        model: a network with masks and quantizers attached, or a plain one; it is left as it was.

    Raises:
        InputError: if an input's quantizer was never calibrated.
    """
    plain = copy.deepcopy(model).cpu().eval()
    found_masks = {name: mask.detach().clone() for name, mask in masks(plain).items()}
    weight_grids = {
        name: (quantizer.low, quantizer.high, quantizer.bits, quantizer.axis)
        for name, module in weighted_layers(plain)
        if (quantizer := weight_quantizer(module)) is not None
    }
    inputs = input_quantizers(plain)
    outputs = quantizers_of_outputs(plain)
    stored = bake_quantizers(plain)
    bake_masks(plain)
    codes: dict[str, LayerCode] = {}
    for name, module in weighted_layers(plain):
        weight: Grid | None = None
        integers: Tensor | None = None
        axis: int | None = None
        if name in stored:
            low, high, bits, axis = weight_grids[name]
            params = stored[name]
            weight = Grid(params.scale.reshape(-1).float(), params.zero_point.reshape(-1).int(), low, high, bits)
            integers = params.ints
            if axis is not None and weight.scale.numel() != integers.shape[1 if is_transposed(module) else 0]:
                axis = None
        entry, shared = inputs.get(name, (None, False))
        output = outputs.get(name)
        if weight is not None or entry is not None or output is not None:
            codes[name] = LayerCode(weight, integers, axis, _grid(entry), shared, _grid(output))
    remove_quantizers(plain)
    for parameter in plain.parameters():
        parameter.requires_grad_(False)
    return Deployable(plain, codes, found_masks)


def _grid(quantizer: ActivationQuantizer | None) -> Grid | None:
    if quantizer is None:
        return None
    with torch.no_grad():
        scale, zero_point = quantizer.grid()
        return Grid(
            scale.detach().cpu().float().clone(),
            zero_point.detach().cpu().int().clone(),
            quantizer.low,
            quantizer.high,
            quantizer.bits,
        )
