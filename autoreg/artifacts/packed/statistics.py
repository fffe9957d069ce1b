"""Entropy of the integers that weights become at given bits and densities, from the weights of another network."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from autoreg.artifacts.packed.size import Symbols, WeightSymbols
from autoreg.methods.discovery import to_recipe
from autoreg.methods.modules.quantizers import WeightQuantizer
from autoreg.methods.quantization.uniform import UniformQuantizer

DENSITY_STEPS = 32
"""Densities at which entropy is worked out; between two of them it is interpolated."""


@dataclass(frozen=True)
class WeightGrid:
    """How a weight is brought to integers.

    Attributes:
        bits: 2 to 8.
        axis: dimension along which scales lie; None for one scale.
        symmetric: whether the zero point is 0.
        rule: the quantizer.
    """

    bits: int
    axis: int | None
    symmetric: bool
    rule: UniformQuantizer


@dataclass(frozen=True)
class Masking:
    """Which weights stay.

    Attributes:
        name: stands for all that the order of weights depends on.
        scores: by layer, shaped like the weights.
        mask: marks the weights that stay, given scores and how many.
    """

    name: str
    scores: Mapping[str, Tensor]
    mask: Callable[[Tensor, int], Tensor]


class WeightStatistics:
    """Symbols of the weights of a network, worked out when first asked for.

    Args:
        weights: of the network, by layer.
    """

    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        self._weights = {name: weight.detach().cpu().float() for name, weight in weights.items()}
        self._known: dict[Any, WeightSymbols] = {}

    def symbols(self, layer: str, grid: WeightGrid, density: float, masking: Masking | None) -> WeightSymbols:
        """Symbols of one layer's weight on a grid.

        Args:
            layer: its name.
            grid: how it is brought to integers.
            density: share of the weights that stay.
            masking: which ones; None where all do.
        """
        if masking is None or density >= 1:
            return self._at(layer, grid, DENSITY_STEPS, None)
        place = density * DENSITY_STEPS
        low, high = max(math.floor(place), 1), max(math.ceil(place), 1)
        below = self._at(layer, grid, low, masking)
        return below if low == high else _between(below, self._at(layer, grid, high, masking), place - low)

    def _at(self, layer: str, grid: WeightGrid, step: int, masking: Masking | None) -> WeightSymbols:
        rule = json.dumps(to_recipe(grid.rule), sort_keys=True)
        how = "" if masking is None or step == DENSITY_STEPS else masking.name
        key = (layer, grid.bits, grid.axis, grid.symmetric, rule, step, how)
        if key not in self._known:
            self._known[key] = self._symbols(layer, grid, step / DENSITY_STEPS, masking if how else None)
        return self._known[key]

    def _symbols(self, layer: str, grid: WeightGrid, density: float, masking: Masking | None) -> WeightSymbols:
        weight, mask = self._weights[layer], None
        if masking is not None:
            retained = max(round(density * weight.numel()), 1)
            mask = masking.mask(masking.scores[layer].cpu(), retained)
            weight = weight * mask
        quantizer = WeightQuantizer(weight, grid.bits, grid.axis, symmetric=grid.symmetric, rule=grid.rule)
        integers = quantizer.integers(weight)
        whole = _of(integers.reshape(-1))
        return WeightSymbols(whole, whole if mask is None else _of(integers[mask]))


def _of(integers: Tensor) -> Symbols:
    counts = torch.bincount(integers.long() - int(integers.min())).double()
    shares = counts[counts > 0] / counts.sum()
    return Symbols(float(-(shares * shares.log2()).sum()), len(shares))


def _between(low: WeightSymbols, high: WeightSymbols, share: float) -> WeightSymbols:
    def mix(one: Symbols, other: Symbols) -> Symbols:
        return Symbols(
            one.entropy + share * (other.entropy - one.entropy), one.distinct + share * (other.distinct - one.distinct)
        )

    return WeightSymbols(mix(low.whole, high.whole), mix(low.retained, high.retained))
