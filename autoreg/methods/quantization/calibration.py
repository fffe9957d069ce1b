"""Ranges of activations, from calibration batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from autoreg.lazy import lazy_module
from autoreg.methods.quantization.attach import (
    ACTIVATION,
    OUTPUT,
    activation_quantizers,
    attach_quantizers,
    remove_quantizers,
)
from autoreg.methods.quantization.placement import Placement
from autoreg.methods.quantization.settings import Quantization

if TYPE_CHECKING:
    import torch
    from torch import nn
else:
    torch = lazy_module("torch")


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
        unseen = [name for name, quantizer in quantizers.items() if not quantizer.finish_calibration()]
        for module, mode in modes:
            module.training = mode
    return unseen


def attach_calibrated(
    model: nn.Module, settings: Quantization, batches: Sequence[Any], forward: Callable[[nn.Module, Any], Any]
) -> tuple[Quantization, list[str]]:
    """Attach quantizers and calibrate them; values that no batch shows stay in floating point.

    Args:
        model: changed in place.
        settings: what is attached.
        batches: representative inputs.
        forward: called with model and batch.

    Returns:
        The settings that attach the same quantizers again, and the layers whose input was never seen.
    """
    attach_quantizers(model, settings)
    unseen = set(calibrate(model, batches, forward))
    if not unseen:
        return settings, []
    producers, quantized_outputs = settings.placement.producers, settings.placement.quantized_outputs

    def missed(module: str, kind: str) -> bool:
        return f"{module}.{kind}".lstrip(".") in unseen

    lost = [
        name
        for name in settings.activation_bits
        if missed(*((producers[name], OUTPUT) if name in producers else (name, ACTIVATION)))
    ]
    calibrated = replace(
        settings,
        activation_bits={name: bits for name, bits in settings.activation_bits.items() if name not in lost},
        placement=Placement(
            {name: made for name, made in producers.items() if name not in lost},
            {name: at for name, at in quantized_outputs.items() if name not in lost and not missed(at, OUTPUT)},
        ),
    )
    remove_quantizers(model)
    attach_quantizers(model, replace(calibrated, weight_bits={}))
    calibrate(model, batches, forward)
    return calibrated, lost
