"""Dropping blocks and quantizing what a trial trains; how a structure goes about it is its own file's business."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from autoreg.costs.formulas import FLOAT_BITS
from autoreg.costs.levels import Levels
from autoreg.methods.bound import BoundQuantization
from autoreg.methods.quantization import Quantization, attach_calibrated, placement
from autoreg.methods.weights import weighted_layers
from autoreg.network.inputs import call
from autoreg.network.surgery.apply import drop_blocks
from autoreg.tasks.batches import to_device
from autoreg.trial.calibration import calibration_batches
from autoreg.trial.loop import forward
from autoreg.trial.model_state import ModelState
from autoreg.trial.setup import Setup


def drop(state: ModelState, levels: Levels, setup: Setup) -> ModelState:
    """Drop the blocks that the levels name; the model is changed in place."""
    if not levels.dropped or state.dropped:
        return state
    drop_blocks(state.model, levels.dropped, setup.example_input)
    return state.with_model(state.model, dropped=tuple(levels.dropped))


def quantize(
    state: ModelState, quantization: BoundQuantization, levels: Levels, setup: Setup, fold: str, *, trained: bool
) -> ModelState:
    """Attach quantizers at the levels' bits and calibrate the ranges of activations; changes the model in place.

    Values that no calibration batch showed stay in floating point; the record says so.

    Args:
        state: the model as it stands.
        quantization: what the recipe says.
        levels: bits by layer.
        setup: task and device.
        fold: whose calibration split shows the ranges.
        trained: whether training follows; else a quantizer that learns is stood in for.
    """
    levels = levels.spread()
    present = {name for name, _ in weighted_layers(state.model)}
    weight_bits, activation_bits = (
        {name: bits for name, bits in part.items() if bits < FLOAT_BITS and name in present}
        for part in (levels.weight_bits, levels.activation_bits)
    )
    quantizer = quantization.quantizer
    settings = Quantization(
        weight_bits,
        activation_bits,
        granularity=levels.granularity,
        symmetric=levels.symmetric,
        act_symmetric=quantization.act_symmetric,
        quantizer=quantizer if trained else quantizer.untrained(),
    )
    batches: list[Any] = []
    if activation_bits:
        example = to_device(setup.example_input, setup.device)
        found = placement(state.model, lambda model: call(model, example), weight_bits, activation_bits)
        settings = replace(settings, placement=found)
        state.model.eval()
        batches = calibration_batches(setup, fold)
    settings, unseen = attach_calibrated(state.model, settings, batches, lambda m, b: forward(m, setup.task, b))
    notes = (*state.notes, *(f"{name}: its input was not seen in calibration and stays in fp32" for name in unseen))
    return state.with_model(state.model, quantized=settings, notes=notes)
