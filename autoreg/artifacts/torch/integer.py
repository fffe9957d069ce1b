"""The deployed network as a torch module whose layers run in real integers on a CPU.

A layer with an integer weight and an integer input runs through oneDNN (`torch.ops.onednn.qlinear_pointwise` and
`qconv*_pointwise`, the operations that the compiler lowers to): uint8 times int8, summed in int32, then scaled to
float32. On a CPU without VNNI, sums of two products saturate at 16 bits there, so every layer is tried against its
floating-point twin on extreme inputs first, and runs in fp32 on the grid where it differs.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from autoreg.artifacts.deployable import Deployable, Grid, LayerCode
from autoreg.artifacts.torch.value_grids import attach_grids, find_value_grids, quantized
from autoreg.methods.weights import weighted_layers
from autoreg.network.inputs import call
from autoreg.network.trace import hooked

_TOLERANCE = 1e-5  # of the largest output; one saturated sum is far off


class IntegerLayer(nn.Module):
    """A linear layer or convolution in integers; attributes that it lacks are those of its twin.

    Args:
        twin: the layer that it stands for.
        grid: of the input.
        run: maps the input's integers, uint8, counted from the grid's lowest, to the layer's output in float32.
    """

    scale: Tensor

    def __init__(self, twin: nn.Module, grid: Grid, run: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self._twin = (twin,)  # in a tuple, so that it is no submodule
        self.register_buffer("scale", grid.scale.clone())
        self.zero_point, self.top = unsigned(grid)
        self.run = run

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            if "_twin" not in self.__dict__:
                raise
            return getattr(self._twin[0], name)

    def forward(self, input: Tensor) -> Tensor:
        """Quantize the input and apply the layer; shapes as those of the layer it stands for."""
        return self.run(quantized(input, self.scale, self.zero_point, self.top))


def unsigned(grid: Grid) -> tuple[int, int]:
    """Zero point and highest integer of a grid with one scale when its lowest integer is called 0."""
    return int(grid.zero_point) - grid.low, grid.high - grid.low


def refusal(module: nn.Module, code: LayerCode) -> str | None:
    """Why a layer cannot run in integers, or None."""
    if code.input is None:
        return "its input is in floating point"
    if code.weight is None or code.integers is None:
        return "its weight is in floating point"
    if bool(code.weight.zero_point.any()) or code.weight.low < -128 or code.weight.high > 127:
        return "its weight has zero points"
    if isinstance(module, nn.Linear):
        return None
    if isinstance(module, _ConvTransposeNd) or len(getattr(module, "kernel_size", ())) not in (1, 2):
        return "no integer kernel for this kind of convolution"
    if module.padding_mode != "zeros" or isinstance(module.padding, str):
        return "no integer kernel for this padding"
    return None


def cpu_layer(module: nn.Module, code: LayerCode, shape: tuple[int, ...]) -> tuple[nn.Module, str] | None:
    """The integer form of a layer and its name, or None where this machine has none that is exact.

    Args:
        module: a linear layer or convolution with its weights on the grid.
        code: its code.
        shape: of an input.
    """
    if refusal(module, code) is not None:
        return None
    assert code.input is not None
    try:
        integer_layer = IntegerLayer(module, code.input, _onednn(module, code, code.input))
        return (integer_layer, "int8") if agrees(module, integer_layer, code.input, shape) else None
    except (RuntimeError, AttributeError, NotImplementedError, TypeError):  # this build has no such kernel
        return None


def agrees(module: nn.Module, integer_layer: nn.Module, grid: Grid, shape: tuple[int, ...]) -> bool:
    """Whether an integer layer gives what its twin gives in double precision, on inputs from all over the grid.

    The first sample holds the highest integer alone, the second the lowest or highest at random, the third any.
    """
    draw = torch.Generator().manual_seed(0)
    one = (1, *shape[1:])
    integers = torch.cat(
        [
            torch.full(one, grid.high),
            torch.randint(0, 2, one, generator=draw) * (grid.high - grid.low) + grid.low,
            torch.randint(grid.low, grid.high + 1, one, generator=draw),
        ]
    )
    values = (integers - grid.zero_point) * grid.scale
    with torch.no_grad():
        twin = copy.deepcopy(module).cpu().double()
        expected = twin(values.double())
        device = next(iter(integer_layer.buffers())).device
        found = integer_layer(values.to(device)).cpu().double()
    if found.shape != expected.shape:
        return False
    bias = getattr(twin, "bias", None)
    size = expected.abs().max() + (bias.abs().max() if isinstance(bias, Tensor) else 0)
    return bool((found - expected).abs().max() <= _TOLERANCE * size)


def _onednn(module: nn.Module, code: LayerCode, grid: Grid) -> Callable[[Tensor], Tensor]:
    """The oneDNN operation of a layer, its weight prepacked."""
    assert code.weight is not None
    assert code.integers is not None
    ops: Any = torch.ops.onednn
    outputs = code.integers.shape[0]
    step, zero_point = float(grid.scale), unsigned(grid)[0]
    weight = code.integers.to(torch.int8).contiguous()
    scales = code.weight.scale.expand(outputs).contiguous()
    zeros = torch.zeros(outputs, dtype=torch.int32)
    bias = module.bias.detach().float() if isinstance(module.bias, Tensor) else None
    none: tuple[Any, ...] = (1.0, 0, torch.float32, "none", [], "")  # float32 output, nothing fused behind
    if not isinstance(module, _ConvNd):
        packed = ops.qlinear_prepack(weight, None)
        linear = ops.qlinear_pointwise
        return lambda x: linear(x.contiguous(), step, zero_point, packed, scales, zeros, bias, *none)
    assert not isinstance(module.padding, str)
    how = (list(module.stride), list(module.padding), list(module.dilation), module.groups)
    packed = ops.qconv_prepack(weight, scales, step, zero_point, *how, None)
    named = "qconv1d_pointwise" if len(module.kernel_size) == 1 else "qconv2d_pointwise"
    conv = getattr(ops, named if hasattr(ops, named) else "qconv_pointwise")
    return lambda x: conv(x, step, zero_point, packed, scales, zeros, bias, *how, *none)


Converter = Callable[[nn.Module, LayerCode, tuple[int, ...]], tuple[nn.Module, str] | None]


def converted(
    found: Deployable, example_input: Any, convert: Converter, device: torch.device
) -> tuple[nn.Module, dict[str, str]]:
    """Exchange the layers that `convert` can make faster and put all else on the grid; see `integer_model`."""
    places = find_value_grids(found, example_input)
    model = copy.deepcopy(found.model).eval()
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    shapes = _input_shapes(model, example_input)
    runs = dict.fromkeys(found.codes, "fp32")
    exchanged: dict[int, nn.Module] = {}
    for name, module in weighted_layers(model):
        if name not in shapes:  # its weight is used without calling it
            continue
        better = convert(module, found.codes.get(name, LayerCode()), shapes[name])
        if better is not None:
            exchanged[id(module)], runs[name] = better
    inputs = {name: grid for name, grid in places.inputs.items() if id(model.get_submodule(name)) not in exchanged}
    model.to(device)  # before the exchange: new layers are there already, and not all of them can be moved
    for parent in list(model.modules()):
        for child, inner in list(parent._modules.items()):
            if id(inner) in exchanged:
                setattr(parent, child, exchanged[id(inner)])
    attach_grids(model, inputs, places.outputs, device)
    return model, runs


def _input_shapes(model: nn.Module, example_input: Any) -> dict[str, tuple[int, ...]]:
    """By layer that is called as a module, the shape of its last input."""
    shapes: dict[str, tuple[int, ...]] = {}
    handles = []
    for name, module in weighted_layers(model):

        def hook(module: nn.Module, args: Any, kwargs: Any, name: str = name) -> None:
            shapes[name] = tuple((args[0] if args else kwargs["input"]).shape)

        handles.append(module.register_forward_pre_hook(hook, with_kwargs=True))
    with hooked(handles), torch.no_grad():
        call(model, example_input)
    return shapes
