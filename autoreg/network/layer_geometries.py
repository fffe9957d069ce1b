"""How each layer of a model is applied, from one watched forward pass."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from autoreg.network.geometry import Geometry
from autoreg.network.inputs import call
from autoreg.network.trace import evaluating, hooked, weighted_layers


def layer_geometries(model: nn.Module, example_input: Any) -> dict[str, Geometry]:
    """Watch one pass of the dense model at the batch that is timed.

    Spatial sizes, strides and the like do not change when channels are removed or blocks dropped, so that the channels
    of `autoreg.costs.predict.predict` complete them for any levels.

    Args:
        model: run in evaluation mode and left as it was.
        example_input: what it is called with when it is timed: a tensor, a tuple of positional or a mapping of keyword
            arguments.

    Returns:
        By layer, in `named_modules` order; layers that are never called are left out.
    """
    found: dict[str, Geometry] = {}
    layers = weighted_layers(model)
    handles = [layer.register_forward_hook(_note(name, found), with_kwargs=True) for name, layer in layers.items()]
    handles += [
        module.register_forward_hook(_note_attention(name, found))
        for name, module in model.named_modules()
        if isinstance(module, nn.MultiheadAttention)
    ]
    fast_path = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # it hides the layers inside from hooks
    try:
        with hooked(handles), evaluating(model), torch.no_grad():
            call(model, example_input)
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_path)
    return {name: found[name] for name in layers if name in found}


def _note(name: str, found: dict[str, Geometry]) -> Callable[..., None]:
    def hook(module: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any], output: Tensor) -> None:
        value = inputs[0] if inputs else named["input"]
        seen = _linear(module, output) if isinstance(module, nn.Linear) else _conv(module, value)
        _add(name, seen, found)

    return hook


def _note_attention(name: str, found: dict[str, Geometry]) -> Callable[..., None]:
    """`nn.MultiheadAttention` uses its output projection's weight without calling the layer."""

    def hook(module: nn.MultiheadAttention, inputs: tuple[Any, ...], output: Any) -> None:
        _add(f"{name}.out_proj", _linear(module.out_proj, output[0]), found)

    return hook


def _add(name: str, seen: Geometry, found: dict[str, Geometry]) -> None:
    """A layer that is called several times keeps its largest call, counted as often."""
    before = found.get(name)
    if before is not None:
        larger = max(before, seen, key=lambda one: one.in_positions)
        seen = replace(larger, calls=before.calls + 1)
    found[name] = seen


def _linear(module: nn.Linear, output: Tensor) -> Geometry:
    flat = output.dim() <= 2
    return Geometry(
        "linear",
        rows=output.numel() // output.shape[-1],
        spatial=() if flat else (1,),
        bias=module.bias is not None,
    )


def _conv(module: nn.Module, value: Tensor) -> Geometry:
    assert isinstance(module, _ConvNd)
    dims = len(module.kernel_size)
    batched = value.dim() == dims + 2
    ends = list(module._reversed_padding_repeated_twice)  # last dimension first, before and after in turn
    pads = [(ends[2 * i], ends[2 * i + 1]) for i in reversed(range(dims))]
    transposed = isinstance(module, _ConvTransposeNd)
    outputs, inputs = module.out_channels, module.in_channels
    return Geometry(
        "conv_transpose" if transposed else "conv",
        rows=int(value.shape[0]) if batched else 1,
        spatial=tuple(int(size) for size in value.shape[-dims:]),
        kernel=tuple(module.kernel_size),
        stride=tuple(module.stride),
        padding=(*[before for before, _ in pads], *[after for _, after in pads]),
        dilation=tuple(module.dilation),
        output_padding=tuple(module.output_padding) if transposed else (),
        groups=module.groups,
        depthwise=module.groups > 1 and module.groups == outputs == inputs,
        bias=module.bias is not None,
    )
