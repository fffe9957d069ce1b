"""The size of a recipe's file: predicted before anything trains, and measured on the finished network."""

from __future__ import annotations

import json
import math
from typing import Any, NamedTuple

from torch import nn

from autoreg.artifacts.deployable import deployable
from autoreg.artifacts.export import FileFormat, file_bytes
from autoreg.artifacts.packed.predict import NetworkFacts, PackedPrediction, SymbolsOf
from autoreg.artifacts.packed.size import WeightSymbols
from autoreg.artifacts.packed.statistics import Masking, WeightGrid, WeightStatistics
from autoreg.artifacts.program_size import ProgramSize
from autoreg.costs.formulas import FLOAT_BITS, Costs, LayerCost
from autoreg.costs.levels import Levels
from autoreg.costs.predict import predict
from autoreg.methods.bound import BoundRecipe
from autoreg.methods.quantization.placement import Placement, placement
from autoreg.methods.quantization.settings import scale_axis
from autoreg.methods.sparsity.structures.masked import MaskedStructure
from autoreg.methods.weights import weighted_layers
from autoreg.network.inputs import call
from autoreg.network.surgery.factors import factor_names
from autoreg.network.weights import weight_of
from autoreg.tasks.batches import batch_size_of
from autoreg.trial.model_state import ModelState
from autoreg.trial.reference import Reference
from autoreg.trial.setup import Setup
from autoreg.trial_info import QUANTILE_95

CODED_ERROR, WHOLE_ERROR, PROGRAM_ERROR = 0.1, 0.003, 0.02
"""Relative error, as one standard deviation, of coded bytes, of a whole file of packed weights, and of one that holds a
graph; before any trial has shown its own."""
HEADER_ERROR_BYTES = 40
"""As one standard deviation, what the numbers of a header differ by from those that are written for it."""


class PredictedSize(NamedTuple):
    """Median of a file's size in bytes, and the ends of its 90 % interval."""

    low: float
    middle: float
    high: float

    @property
    def ends(self) -> tuple[float, float, float]:
        """Lower end, middle and upper end."""
        return self.low, self.middle, self.high


def file_record(setup: Setup, state: ModelState) -> dict[str, Any]:
    """What a file needs for its network to be built again: what it was from the start, and what became of it."""
    return {**state.structure, "network": setup.structure}


def measured_size(setup: Setup, state: ModelState, model: nn.Module, format: FileFormat) -> int:
    """Bytes of the file that an export of this network writes."""
    batch = batch_size_of(setup.task.latency_input())
    return file_bytes(deployable(model), setup.example_input, format, record=file_record(setup, state), batch=batch)


class FileSizePredictor:
    """Predicts sizes of files from the weights of the dense reference.

    Args:
        reference: the dense network.
        format: of the files.
    """

    def __init__(self, reference: Reference, format: FileFormat) -> None:
        setup = reference.setup
        self._setup, self._reference, self.format = setup, reference, format
        dense = deployable(reference.model)
        self._dense = dense.model
        layers = dict(weighted_layers(self._dense))
        self._statistics = WeightStatistics({name: weight_of(layer) for name, layer in layers.items()})
        self._axes = {name: scale_axis(layer, "channel") for name, layer in layers.items()}
        self._largest = max(layers, key=lambda name: weight_of(layers[name]).numel())
        self._packed, self._program = PackedPrediction(self._dense), None
        if format.name != "safetensors":
            batch = batch_size_of(setup.task.latency_input())
            self._program = ProgramSize(dense, predict(setup.profile), setup.example_input, format.name, batch)
        self._placements: dict[tuple[frozenset[str], frozenset[str]], Placement] = {}

    def predict(self, recipe: BoundRecipe, setup: Setup, levels: Levels, costs: Costs) -> PredictedSize:
        """The size of a recipe's file.

        Args:
            recipe: complete.
            setup: the task with the network that the recipe has from the start.
            levels: of that network.
            costs: what it costs.
        """
        placement = self._placement(levels)
        if self._program is not None:
            return _interval(self._program.bytes(costs, levels, placement), PROGRAM_ERROR)
        symbols = self._symbols(recipe, levels) if self.format.compress else None
        facts = NetworkFacts(setup.profile, costs, levels, placement, setup.structure)
        found = self._packed.bytes(facts, symbols)
        whole = WHOLE_ERROR + HEADER_ERROR_BYTES / found.bytes
        return _interval(found.bytes, CODED_ERROR * found.coded / found.bytes + whole)

    def _symbols(self, recipe: BoundRecipe, levels: Levels) -> SymbolsOf:
        """The symbols of a layer's weight, by those of the reference; of an unknown layer, of the largest there."""
        masking, rule = self._masking(recipe, levels), recipe.quantization.quantizer
        origin = {factor: name for name in levels.ranks for factor in factor_names(name)}

        def symbols(row: LayerCost) -> WeightSymbols | None:
            if row.bits == FLOAT_BITS:
                return None
            layer = origin.get(row.name, row.name)
            layer = layer if layer in self._axes else self._largest
            axis = self._axes[layer] if levels.granularity == "channel" else None
            grid = WeightGrid(row.bits, axis, levels.symmetric, rule)
            return self._statistics.symbols(layer, grid, row.density, None if row.name in origin else masking)

        return symbols

    def _masking(self, recipe: BoundRecipe, levels: Levels) -> Masking | None:
        structure = recipe.structure
        if not levels.retained or not isinstance(structure, MaskedStructure):
            return None
        name = json.dumps(structure.measured, sort_keys=True)
        return Masking(name, self._reference.scores(structure.criterion), structure.mask)

    def _placement(self, levels: Levels) -> Placement:
        """Where values between the layers of the dense network are quantized at these bits."""
        bits = {n: b for n, b in levels.activation_bits.items() if b < FLOAT_BITS}
        if not bits:
            return Placement()
        weights = {n: b for n, b in levels.weight_bits.items() if b < FLOAT_BITS}
        key = frozenset(f"{n} {b}" for n, b in bits.items()), frozenset(weights)
        if key not in self._placements:
            example = self._setup.example_input
            self._placements[key] = placement(self._dense, lambda model: call(model, example), weights, bits)
        return self._placements[key]


def _interval(size: float, error: float) -> PredictedSize:
    factor = math.exp(QUANTILE_95 * error)
    return PredictedSize(size / factor, size, size * factor)
