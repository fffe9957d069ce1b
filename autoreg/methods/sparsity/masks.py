"""Masks on the weights of a model: attach, look at, bake."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from autoreg.errors import InputError
from autoreg.lazy import lazy_module
from autoreg.methods.weights import bake_weight, find_layer, weight_steps, weighted_layers
from autoreg.network.weights import weight_of

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.nn.utils import parametrize

    from autoreg.methods.modules import masks as modules
    from autoreg.methods.modules.masks import Mask
else:
    parametrize = lazy_module("torch.nn.utils.parametrize")
    modules = lazy_module("autoreg.methods.modules.masks")


def attach_masks(model: nn.Module, masks: Mapping[str, Tensor]) -> None:
    """Mask the weights of the named layers, in place; a layer that has a mask gets the new one.

    Attach masks before quantizers, so that a mask acts first and the quantizer's integer zero point keeps zeros zero.
    The same masks attached in the same order give a model that loads the same state dict.

    Args:
        model: masks hang on its weighted layers as `torch.nn.utils.parametrize` parametrizations.
        masks: by layer name, bool tensors shaped like the weights; True stays.

    Raises:
        InputError: if a layer does not exist, a shape does not fit, or a layer has another parametrization already.
    """
    for name, mask in masks.items():
        module = find_layer(model, name)
        weight = weight_of(module)
        shape = tuple(weight.shape)
        if tuple(mask.shape) != shape:
            raise InputError(f"mask of {name!r} has shape {tuple(mask.shape)}; the weight has {shape}")
        present = mask_of(module)
        if present is not None:
            present.mask.copy_(mask)
            continue
        if weight_steps(module):
            raise InputError(f"layer {name!r} is parametrized already; masks come first: bake or detach the rest")
        parametrize.register_parametrization(module, "weight", modules.Mask(mask.bool().to(weight.device)))


def mask_of(module: nn.Module) -> Mask | None:
    """The mask on a layer, or None."""
    steps = weight_steps(module)
    return steps[0] if steps and isinstance(steps[0], modules.Mask) else None


def masks(model: nn.Module) -> dict[str, Tensor]:
    """The live masks by layer name: bool tensors that may be changed in place."""
    found = ((name, mask_of(module)) for name, module in weighted_layers(model))
    return {name: mask.mask for name, mask in found if mask is not None}


def bake_masks(model: nn.Module) -> None:
    """Replace masked weights by plain weights that hold the zeros, in place.

    Raises:
        InputError: if a quantizer acts on a masked weight: bake the quantizers instead, which bakes both.
    """
    for name, module in weighted_layers(model):
        if mask_of(module) is None:
            continue
        if len(weight_steps(module)) > 1:
            raise InputError(f"layer {name!r} has a quantizer behind its mask; use bake_quantizers, which bakes both")
        bake_weight(module)
