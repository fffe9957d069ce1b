"""Quantizers on the layers of a model: attach, read, freeze, bake."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from autoreg.costs.formulas import FLOAT_BITS
from autoreg.errors import InputError
from autoreg.lazy import lazy_module
from autoreg.methods.quantization.settings import Quantization, scale_axis
from autoreg.methods.weights import bake_weight, find_layer, raw_weight, weight_steps, weighted_layers
from autoreg.network.weights import weight_of

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn
    from torch.nn.utils import parametrize

    from autoreg.methods.modules import quantizers as modules
    from autoreg.methods.modules.quantizers import ActivationQuantizer, WeightQuantizer
else:
    torch = lazy_module("torch")
    parametrize = lazy_module("torch.nn.utils.parametrize")
    modules = lazy_module("autoreg.methods.modules.quantizers")

ACTIVATION = "activation_quantizer"
"""Name of the submodule that quantizes a layer's input."""

OUTPUT = "output_quantizer"
"""Name of the submodule that quantizes a module's output, for all that consume it."""

_PRODUCER, _OUTPUT_AT = "_quantized_by", "_output_quantized_at"
"""Attributes of a layer: the modules that quantize its input and its output in its stead."""


class QuantParams(NamedTuple):
    """A quantized weight as it is stored: (ints − zero_point)·scale.

    `scale` and `zero_point` broadcast to the weight; `ints` is shaped like it, int16.
    """

    scale: Tensor
    zero_point: Tensor
    ints: Tensor


def attach_quantizers(model: nn.Module, settings: Quantization) -> None:
    """Quantize weights and inputs of the named layers, in place; 32 bits leave them as they are.

    A weight's range (or first step) is taken from the weight as it stands, behind its mask; inputs need `calibrate`.
    The same settings after the same masks give a model that loads the same state dict.

    Args:
        model: quantizers hang on its weighted layers: as parametrizations of `weight`, and as a submodule
            `activation_quantizer` that a forward pre-hook calls.
        settings: bits by layer, quantizer and grids.

    Raises:
        InputError: if a layer does not exist or is quantized already, or bits are not allowed.
    """
    for name, bits in settings.weight_bits.items():
        module = find_layer(model, name)
        if bits < FLOAT_BITS:
            _quantize_weight(module, name, bits, settings)
    for name, bits in settings.activation_bits.items():
        module = find_layer(model, name)
        if bits < FLOAT_BITS:
            _quantize_values(model, module, name, bits, settings)


def _quantize_weight(module: nn.Module, name: str, bits: int, settings: Quantization) -> None:
    if weight_quantizer(module) is not None:
        raise InputError(f"the weight of layer {name!r} is quantized already")
    axis, rule = scale_axis(module, settings.granularity), settings.quantizer
    made = modules.WeightQuantizer(weight_of(module), bits, axis, symmetric=settings.symmetric, rule=rule)
    parametrize.register_parametrization(module, "weight", made)


def _quantize_values(model: nn.Module, module: nn.Module, name: str, bits: int, settings: Quantization) -> None:
    """Quantize a layer's input, or the output of its producer, and its own output where the placement says so."""
    if hasattr(module, ACTIVATION) or hasattr(module, _PRODUCER):
        raise InputError(f"the input of layer {name!r} is quantized already")
    place, device = settings.placement, weight_of(module).device

    def quantizer() -> ActivationQuantizer:
        rule, symmetric = settings.quantizer, settings.act_symmetric
        return modules.ActivationQuantizer(bits, symmetric=symmetric, rule=rule, device=device)

    if name in place.producers:
        setattr(module, _PRODUCER, place.producers[name])
        _quantize_output_of(model, place.producers[name], quantizer())
    else:
        module.add_module(ACTIVATION, quantizer())
        module.register_forward_pre_hook(_quantize_input, with_kwargs=True)
    if name in place.quantized_outputs:
        setattr(module, _OUTPUT_AT, place.quantized_outputs[name])
        _quantize_output_of(model, place.quantized_outputs[name], quantizer())


def _quantize_output_of(model: nn.Module, name: str, quantizer: ActivationQuantizer) -> None:
    module = model.get_submodule(name)
    if not hasattr(module, OUTPUT):
        module.add_module(OUTPUT, quantizer)
        module.register_forward_hook(_quantize_output)


def _quantize_input(
    module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """A pre-hook that finds the quantizer on the module it is called for, so that copies use their own."""
    if args:
        return (module.activation_quantizer(args[0]), *args[1:]), kwargs
    return args, {**kwargs, "input": module.activation_quantizer(kwargs["input"])}


def _quantize_output(module: Any, args: tuple[Any, ...], output: Any) -> Any:
    """A hook that finds the quantizer on the module it is called for, so that copies use their own."""
    return module.output_quantizer(output)


def remove_quantizers(model: nn.Module) -> None:
    """Take the quantizers of inputs and outputs off a model, in place; those of weights are baked, not removed."""
    for module in list(model.modules()):
        for name, hooks in ((ACTIVATION, module._forward_pre_hooks), (OUTPUT, module._forward_hooks)):
            if not hasattr(module, name):
                continue
            delattr(module, name)
            for key in [key for key, hook in hooks.items() if hook in (_quantize_input, _quantize_output)]:
                del hooks[key]
                module._forward_pre_hooks_with_kwargs.pop(key, None)
        for name in (_PRODUCER, _OUTPUT_AT):
            if hasattr(module, name):
                delattr(module, name)


def weight_quantizer(module: nn.Module) -> WeightQuantizer | None:
    """The quantizer of a layer's weight, or None."""
    steps = weight_steps(module)
    return steps[-1] if steps and isinstance(steps[-1], modules.WeightQuantizer) else None


def activation_quantizers(model: nn.Module) -> dict[str, ActivationQuantizer]:
    """The quantizers of inputs and outputs, by their own names."""
    return {
        f"{name}.{kind}".lstrip("."): getattr(module, kind)
        for name, module in model.named_modules()
        for kind in (ACTIVATION, OUTPUT)
        if hasattr(module, kind)
    }


def input_quantizers(model: nn.Module) -> dict[str, tuple[ActivationQuantizer, bool]]:
    """By layer, what quantizes its input, and whether all other consumers of that tensor see it quantized too."""
    found: dict[str, tuple[ActivationQuantizer, bool]] = {}
    for name, module in weighted_layers(model):
        if hasattr(module, ACTIVATION):
            found[name] = (getattr(module, ACTIVATION), False)
        elif hasattr(module, _PRODUCER):
            found[name] = (getattr(model.get_submodule(getattr(module, _PRODUCER)), OUTPUT), True)
    return found


def quantizers_of_outputs(model: nn.Module) -> dict[str, ActivationQuantizer]:
    """By layer, what quantizes its output (after its batch norm and its ReLU) apart from any layer's input."""
    return {
        name: getattr(model.get_submodule(getattr(module, _OUTPUT_AT)), OUTPUT)
        for name, module in weighted_layers(model)
        if hasattr(module, _OUTPUT_AT)
    }


def freeze_quantizers(model: nn.Module) -> None:
    """Stop training the steps of all quantizers."""
    of_weights = [weight_quantizer(module) for _, module in weighted_layers(model)]
    for quantizer in (*of_weights, *activation_quantizers(model).values()):
        if quantizer is not None:
            quantizer.requires_grad_(False)


def weight_quant_params(module: nn.Module) -> QuantParams:
    """Scale, zero point and integers of a layer's quantized weight.

    Raises:
        InputError: if the weight has no quantizer.
    """
    quantizer = weight_quantizer(module)
    if quantizer is None:
        raise InputError("this layer's weight is not quantized")
    with torch.no_grad():
        weight: Tensor = raw_weight(module)
        for step in weight_steps(module)[:-1]:
            weight = step(weight)
        scale, zero_point = quantizer.grid(weight)
        return QuantParams(scale.clone(), zero_point.clone(), quantizer.integers(weight))


def bake_quantizers(model: nn.Module) -> dict[str, QuantParams]:
    """Replace quantized (and masked) weights by plain weights on their grid, in place; freeze the inputs' quantizers.

    Returns:
        By layer name, the weights as they are stored.
    """
    found: dict[str, QuantParams] = {}
    for name, module in weighted_layers(model):
        if weight_quantizer(module) is not None:
            found[name] = weight_quant_params(module)
            bake_weight(module)
    freeze_quantizers(model)
    return found
