"""Quantizers on the layers of a model: attach, calibrate, read, bake."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from autoreg.errors import InputError
from autoreg.lazy import lazy_module
from autoreg.methods.weights import (
    bake_weight,
    find_layer,
    is_transposed,
    raw_weight,
    weight_of,
    weight_steps,
    weighted_layers,
)

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn
    from torch.nn.utils import parametrize

    from autoreg.methods.modules.quantizers import ActivationQuantizer, WeightQuantizer
else:
    torch = lazy_module("torch")
    parametrize = lazy_module("torch.nn.utils.parametrize")

ACTIVATION = "activation_quantizer"
"""Name of the submodule that quantizes a layer's input."""

OUTPUT = "output_quantizer"
"""Name of the submodule that quantizes a module's output, for all that consume it."""

_PRODUCER, _TAIL = "_quantized_by", "_quantized_tail"
"""Attributes of a layer: the modules that quantize its input and its output in its stead."""


class QuantParams(NamedTuple):
    """A quantized weight as it is stored: (ints − zero_point)·scale.

    `scale` and `zero_point` broadcast to the weight; `ints` is shaped like it, int16.
    """

    scale: Tensor
    zero_point: Tensor
    ints: Tensor


def attach_quantizers(
    model: nn.Module,
    weight_bits: Mapping[str, int],
    activation_bits: Mapping[str, int] | None = None,
    granularity: str = "channel",
    symmetric: bool = True,
    act_symmetric: bool = False,
    learned: bool = False,
    producers: Mapping[str, str] | None = None,
    tails: Mapping[str, str] | None = None,
) -> None:
    """Quantize weights and inputs of the named layers, in place; 32 bits leave them as they are.

    A weight's range (or first step) is taken from the weight as it stands, behind its mask; inputs need `calibrate`.
    The same arguments after the same masks give a model that loads the same state dict.

    Args:
        model: quantizers hang on its weighted layers: as parametrizations of `weight`, and as a submodule
            `activation_quantizer` that a forward pre-hook calls.
        weight_bits: by layer name, 2 to 8 or 32.
        activation_bits: by layer name, 2 to 8 or 32.
        granularity: one scale per `tensor`, or per output `channel`, of weights; inputs have one per tensor.
        symmetric: zero point 0 for weights, else an integer zero point.
        act_symmetric: the same for inputs.
        learned: steps are parameters with LSQ's gradient, else fixed.
        producers: by layer, the module whose output is quantized in place of the layer's input, for all its consumers.
        tails: by layer, the module whose output is quantized at the bits of the layer's input
            (both from `autoreg.methods.quantization.placement`).

    Raises:
        InputError: if a layer does not exist or is quantized already, or bits or granularity are not allowed.
    """
    from autoreg.methods.modules.quantizers import ActivationQuantizer, WeightQuantizer

    if granularity not in ("tensor", "channel"):
        raise InputError(f"granularity = {granularity!r}; allowed: tensor, channel")
    for name, bits in weight_bits.items():
        module = find_layer(model, name)
        if bits == 32:
            continue
        if weight_quantizer(module) is not None:
            raise InputError(f"the weight of layer {name!r} is quantized already")
        axis = None if granularity == "tensor" else 1 if is_transposed(module) else 0
        made = WeightQuantizer(weight_of(module), bits, axis, symmetric=symmetric, learned=learned)
        parametrize.register_parametrization(module, "weight", made)
    settings = {"symmetric": act_symmetric, "learned": learned}
    producers, tails = producers or {}, tails or {}
    for name, bits in (activation_bits or {}).items():
        module = find_layer(model, name)
        if bits == 32:
            continue
        if hasattr(module, ACTIVATION) or hasattr(module, _PRODUCER):
            raise InputError(f"the input of layer {name!r} is quantized already")
        device = weight_of(module).device
        if name in producers:
            setattr(module, _PRODUCER, producers[name])
            _quantize_output_of(model, producers[name], ActivationQuantizer(bits, device=device, **settings))
        else:
            module.add_module(ACTIVATION, ActivationQuantizer(bits, device=device, **settings))
            module.register_forward_pre_hook(_quantize_input, with_kwargs=True)
        if name in tails:
            setattr(module, _TAIL, tails[name])
            _quantize_output_of(model, tails[name], ActivationQuantizer(bits, device=device, **settings))


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
        for name in (_PRODUCER, _TAIL):
            if hasattr(module, name):
                delattr(module, name)


def weight_quantizer(module: nn.Module) -> WeightQuantizer | None:
    """The quantizer of a layer's weight, or None."""
    from autoreg.methods.modules.quantizers import WeightQuantizer

    steps = weight_steps(module)
    return steps[-1] if steps and isinstance(steps[-1], WeightQuantizer) else None


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


def tail_quantizers(model: nn.Module) -> dict[str, ActivationQuantizer]:
    """By layer, what quantizes its output (after its batch norm and its ReLU) apart from any layer's input."""
    return {
        name: getattr(model.get_submodule(getattr(module, _TAIL)), OUTPUT)
        for name, module in weighted_layers(model)
        if hasattr(module, _TAIL)
    }


def calibrate(model: nn.Module, batches: Iterable[Any], forward: Callable[[nn.Module, Any], Any]) -> list[str]:
    """Set the ranges of the inputs' quantizers from calibration batches, run in evaluation mode.

    Args:
        model: changed in place; its mode is put back.
        batches: representative inputs.
        forward: called with model and batch.

    Returns:
        Names of quantizers that never saw a value; they fail if they are called later.
    """
    quantizers = activation_quantizers(model)
    if not quantizers:
        return []
    modes = [(module, module.training) for module in model.modules()]
    for quantizer in quantizers.values():
        quantizer.observing = True
    try:
        model.eval()
        with torch.no_grad():
            for batch in batches:
                forward(model, batch)
    finally:
        unseen = [name for name, quantizer in quantizers.items() if not quantizer.settle()]
        for module, mode in modes:
            module.training = mode
    return unseen


def attach_calibrated(
    model: nn.Module,
    settings: Mapping[str, Any],
    batches: Sequence[Any],
    forward: Callable[[nn.Module, Any], Any],
) -> tuple[dict[str, Any], list[str]]:
    """Attach quantizers and calibrate them; values that no batch shows stay in floating point.

    Args:
        model: changed in place.
        settings: arguments of `attach_quantizers`.
        batches: representative inputs.
        forward: called with model and batch.

    Returns:
        The settings that attach the same quantizers again, and the layers whose input was never seen.
    """
    attach_quantizers(model, **settings)
    unseen = set(calibrate(model, batches, forward))
    if not unseen:
        return dict(settings), []
    inputs, producers, tails = (dict(settings.get(part) or {}) for part in ("activation_bits", "producers", "tails"))

    def missed(module: str, kind: str) -> bool:
        return f"{module}.{kind}".lstrip(".") in unseen

    lost = [
        name for name in inputs if missed(*((producers[name], OUTPUT) if name in producers else (name, ACTIVATION)))
    ]
    kept = {
        **settings,
        "activation_bits": {name: bits for name, bits in inputs.items() if name not in lost},
        "producers": {name: made for name, made in producers.items() if name not in lost},
        "tails": {name: at for name, at in tails.items() if name not in lost and not missed(at, OUTPUT)},
    }
    remove_quantizers(model)
    attach_quantizers(model, **{**kept, "weight_bits": {}})
    calibrate(model, batches, forward)
    return kept, lost


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
        scale, zero_point = quantizer.spread(weight)
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
