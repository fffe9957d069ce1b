"""The size of a file that holds a graph, before the network exists: that of the dense network's, with what changes.

An export of every candidate would say it exactly, and take a tenth of a second to seconds. Zeros of masks are written
out, so they change nothing. The bytes of nodes were measured on exports of the built-in tasks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import nn

from autoreg.artifacts.deployable import Deployable
from autoreg.artifacts.export import FileFormat, file_bytes
from autoreg.artifacts.fold import fold
from autoreg.artifacts.onnx.weights import FOUR_BIT_BLOCK
from autoreg.costs.formulas import FLOAT_BITS, FLOAT_BYTES, Costs, LayerCost, packed_bytes, scale_bytes
from autoreg.costs.levels import Levels
from autoreg.methods.quantization.placement import Placement
from autoreg.methods.weights import weighted_layers


@dataclass(frozen=True)
class _Nodes:
    """Bytes of the graph for a weight in integers, for the quantizer of a value, and for one more layer."""

    integers: int
    quantizer: int
    layer: int


NODES = {"onnx": _Nodes(400, 240, 330), "torch": _Nodes(4800, 5600, 1800)}


class ProgramSize:
    """Predicts sizes of files of one format and task.

    Args:
        dense: the dense network.
        costs: what it costs.
        example_input: what it is called with.
        format: `onnx` or `torch`.
        batch: samples in a call of a file whose batch cannot be free.
    """

    def __init__(self, dense: Deployable, costs: Costs, example_input: Any, format: str, batch: int | None) -> None:
        self._format, self._nodes, self._layers = format, NODES[format], len(costs.per_layer)
        self._others_share = 1.0
        if format == "onnx":  # batch norms are folded: a part of their numbers stays as biases
            left = _other_numbers(fold(dense, example_input).model)
            self._others_share = left / max(_other_numbers(dense.model), 1)
        size = file_bytes(dense, example_input, FileFormat(format, False), record={}, batch=batch)
        self._graph = size - self._payload(costs, Levels())

    def bytes(self, costs: Costs, levels: Levels, placement: Placement) -> float:
        """Bytes of a recipe's file.

        Args:
            costs: of the recipe.
            levels: of the recipe.
            placement: where values between layers are quantized.
        """
        standing = [row for row in costs.per_layer if not row.dropped]
        added = sum(row.name.rpartition(".")[0] in levels.ranks for row in standing) // 2
        graph = self._graph * (len(standing) - added) / max(self._layers, 1) + self._nodes.layer * added
        inputs = [row.name for row in standing if row.activation_bits < FLOAT_BITS]
        quantized = {placement.producers.get(name, name) for name in inputs}
        quantized |= {placement.quantized_outputs[name] for name in inputs if name in placement.quantized_outputs}
        return graph + self._nodes.quantizer * len(quantized) + self._payload(costs, levels)

    def _payload(self, costs: Costs, levels: Levels) -> float:
        """Bytes of numbers, those of integers' nodes among them."""
        standing = [row for row in costs.per_layer if not row.dropped]
        others = costs.bytes - sum(row.bytes for row in standing) + sum(_bias_bytes(row, levels) for row in standing)
        return others * self._others_share + sum(self._held(row, levels) for row in standing)

    def _held(self, row: LayerCost, levels: Levels) -> float:
        """Bytes of one layer's weight, with what its integers need in the graph."""
        floats = FLOAT_BYTES * row.weight_count
        if row.bits == FLOAT_BITS:
            return floats
        outputs = row.shape[0]
        scales = outputs if levels.granularity == "channel" else 1
        if self._format == "torch":
            return row.weight_count + 2 * FLOAT_BYTES * scales + self._nodes.integers
        if row.activation_bits < FLOAT_BITS:  # a scale and a zero point; the bias in integers with its own
            return row.weight_count + outputs * 13 + self._nodes.integers
        if row.bits <= 4 and row.type == "Linear":
            # a scale of 4 bytes and half a byte of zero point for each block
            return row.weight_count * (0.5 + 4.5 / FOUR_BIT_BLOCK) + self._nodes.quantizer
        return floats


def _other_numbers(model: nn.Module) -> int:
    """Parameters and floating-point buffers that are no weights of layers."""
    weights = {id(layer.weight) for _, layer in weighted_layers(model)}
    parameters = sum(p.numel() for p in model.parameters() if id(p) not in weights)
    return parameters + sum(buffer.numel() for buffer in model.buffers() if buffer.is_floating_point())


def _bias_bytes(row: LayerCost, levels: Levels) -> int:
    """Bytes of a layer's bias; a tied layer holds nothing else."""
    outputs = row.shape[1] if "Transpose" in row.type else row.shape[0]
    weight = packed_bytes(row.weight_count, row.retained, row.bits)
    left = row.bytes - weight - scale_bytes(outputs, row.bits, levels.granularity, levels.symmetric)
    return left if left >= 0 else row.bytes
