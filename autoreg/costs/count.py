"""Costs of a finished model, counted on the modules and masks that stand."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

from torch import Tensor, nn

from autoreg.costs.formulas import (
    FLOAT_BITS,
    FLOAT_BYTES,
    Costs,
    LayerCost,
    layer_cost,
    packed_bytes,
    scale_bytes,
    total,
)
from autoreg.costs.levels import Levels
from autoreg.errors import InputError
from autoreg.network.profile import other_numbers, stored_biases, stored_weight
from autoreg.network.trace import trace, type_name, warn, weighted_layers
from autoreg.network.weights import weight_of

__all__ = ["Costs", "LayerCost", "count"]

_FLOAT = Levels()


def count(
    model: nn.Module,
    example_input: Any,
    masks: Mapping[str, Tensor] | None = None,
    levels: Levels = _FLOAT,
) -> Costs:
    """Count a finished model: blocks dropped and channels removed for real.

    Args:
        model: The model as it would be deployed.
        example_input: What it is called with.
        masks: Boolean mask of a layer's weight by layer name, True where the weight stays.
        levels: Bits (by layer, or by the layer in whose place two stand: see `Levels.spread`), granularity and
            symmetry; only those are read, all else is counted on the model.

    Raises:
        InputError: When a mask belongs to no layer of the model or does not fit its weight.
    """
    layers, levels = weighted_layers(model), levels.spread()
    for name in masks or {}:
        if name not in layers:
            raise InputError(f"count: a mask is named {name!r}; the model's layers are {', '.join(layers)}")
    found = trace(model, example_input)
    warn(found.warnings)
    stored: set[int] = set()
    biases = stored_biases(layers)
    per_layer: list[LayerCost] = []
    weights = 0
    for name, layer in layers.items():
        first = stored_weight(layer) not in stored  # a weight that layers share is stored once
        stored.add(stored_weight(layer))
        retained = _retained(name, weight_of(layer), (masks or {}).get(name))
        cost = _layer(name, layer, found.positions[name], retained, biases.get(name, 0), levels, first)
        per_layer.append(cost)
        weights += cost.weight_count if first else 0
    others = other_numbers(model).values()
    params, buffers = sum(part[0] for part in others), sum(part[1] for part in others)
    return total(per_layer, weights, sum(found.functional.values()), sum(biases.values()), params, buffers)


def _layer(
    name: str, layer: nn.Module, positions: int, retained: int, bias: int, levels: Levels, stored: bool
) -> LayerCost:
    """What one layer costs; `stored` says whether its weight is stored here."""
    shape = tuple(weight_of(layer).shape)
    bits = levels.weight_bits.get(name, FLOAT_BITS)
    size = FLOAT_BYTES * bias
    if stored:
        size += packed_bytes(prod(shape), retained, bits)
        size += scale_bytes(_out_channels(layer), bits, levels.granularity, levels.symmetric)
    input_bits = levels.activation_bits.get(name, FLOAT_BITS)
    return layer_cost(name, type_name(layer), shape, positions, retained, bits, input_bits, size)


def _retained(name: str, weight: Tensor, mask: Tensor | None) -> int:
    if mask is None:
        return weight.numel()
    if mask.shape != weight.shape:
        raise InputError(f"count: mask of {name!r} has shape {tuple(mask.shape)}, its weight {tuple(weight.shape)}")
    return int(mask.bool().sum())


def _out_channels(layer: nn.Module) -> int:
    channels = layer.out_features if isinstance(layer, nn.Linear) else layer.out_channels
    assert isinstance(channels, int)
    return channels
