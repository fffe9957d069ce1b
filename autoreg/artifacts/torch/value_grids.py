"""The deployed network as a torch module in floating point: weights and values on their grids.

It computes what the trial's model with its quantizers computes, and is what every other form is compared with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from autoreg.artifacts.deployable import Deployable, Grid
from autoreg.methods.functional.affine import dequantize, quantize
from autoreg.methods.quantization.placement import placement
from autoreg.network.inputs import call

BEFORE, AFTER = "grid_before", "grid_after"
"""Names of the submodules that put a module's input and output on a grid."""


@dataclass(frozen=True)
class ValueGrids:
    """Where values between layers are on a grid.

    Attributes:
        inputs: by layer, the grid of its own input, which other consumers of that tensor see in floating point.
        outputs: by module, the grid of its output, for all that consume it.
    """

    inputs: Mapping[str, Grid]
    outputs: Mapping[str, Grid]


class FakeQuantize(nn.Module):
    """Puts values on a grid with one scale, any shape, in floating point."""

    scale: Tensor
    zero_point: Tensor

    def __init__(self, grid: Grid) -> None:
        super().__init__()
        self.low, self.high = grid.low, grid.high
        self.register_buffer("scale", grid.scale.clone())
        self.register_buffer("zero_point", grid.zero_point.to(grid.scale.dtype))

    def forward(self, values: Tensor) -> Tensor:
        """The nearest values on the grid."""
        integers = quantize(values, self.scale, self.zero_point, self.low, self.high)
        return dequantize(integers, self.scale, self.zero_point)


def find_value_grids(found: Deployable, example_input: Any) -> ValueGrids:
    """Where the values of a network are on a grid, found as the trial found it: by watching one pass.

    Args:
        found: its batch norms not folded; left as it was.
        example_input: what the model is called with.
    """
    weight_bits = {name: code.weight.bits for name, code in found.codes.items() if code.weight is not None}
    value_bits = {name: code.input.bits for name, code in found.codes.items() if code.input is not None}
    if not value_bits:
        return ValueGrids({}, {})
    places = placement(found.model, lambda model: call(model, example_input), weight_bits, value_bits)
    inputs: dict[str, Grid] = {}
    outputs: dict[str, Grid] = {}
    for name, code in found.codes.items():
        if code.input is not None and code.shared and name in places.producers:
            outputs[places.producers[name]] = code.input
        elif code.input is not None:
            inputs[name] = code.input
        if code.output is not None:
            outputs.setdefault(places.quantized_outputs.get(name, name), code.output)
    return ValueGrids(inputs, outputs)


def attach_grids(
    model: nn.Module,
    inputs: Mapping[str, Grid],
    outputs: Mapping[str, Grid],
    device: torch.device | None = None,
) -> None:
    """Put inputs and outputs of the named modules on grids, in place, by hooks; the grids live on `device`."""
    for name, grid in inputs.items():
        module = model.get_submodule(name)
        module.add_module(BEFORE, FakeQuantize(grid).to(device))
        module.register_forward_pre_hook(_before, with_kwargs=True)
    for name, grid in outputs.items():
        module = model.get_submodule(name)
        module.add_module(AFTER, FakeQuantize(grid).to(device))
        module.register_forward_hook(_after)


def quantized(values: Tensor, scale: Tensor, zero_point: int, top: int) -> Tensor:
    """Values as uint8 in [0, top]: clamp(round(v / scale) + zero point, 0, top), with few passes over memory.

    Args:
        values: floating point, any shape.
        scale: float32, one number.
        zero_point: the grid's zero point less its lowest integer.
        top: the grid's highest integer less its lowest.
    """
    return torch.div(values, scale).round_().add_(zero_point).clamp_(0, top).to(torch.uint8)


def _before(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if args:
        return (module.grid_before(args[0]), *args[1:]), kwargs
    return args, {**kwargs, "input": module.grid_before(kwargs["input"])}


def _after(module: Any, args: tuple[Any, ...], output: Any) -> Any:
    return module.grid_after(output)
