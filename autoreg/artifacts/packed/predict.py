"""What `autoreg.artifacts.packed.file` would write of a network that does not exist yet, and how many bytes that is."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from autoreg.artifacts.packed.file import PACKED_FORMAT, PACKED_VERSION, stored_buffers
from autoreg.artifacts.packed.size import TYPICAL_SCALE, PackedSize, Piece, WeightSymbols, expected_size, header_bytes
from autoreg.costs.formulas import FLOAT_BITS, FLOAT_BYTES, SCALE_BYTES, ZERO_POINT_BYTES, Costs, LayerCost
from autoreg.costs.formulas import packed_bytes as formula_bytes
from autoreg.costs.levels import Levels
from autoreg.costs.predict import groups_after
from autoreg.methods.quantization.placement import Placement
from autoreg.methods.weights import weighted_layers
from autoreg.network.shapes import Profile

SymbolsOf = Callable[[LayerCost], WeightSymbols | None]
"""Symbols of a layer's weight; None where it is not entropy-coded."""

SOME_BYTES = 400.0
"""Of a tensor whose size matters only for the number of digits in the header."""

_Tensor = tuple[str, str, Sequence[int], float]
"""Name, type, shape, bytes."""


@dataclass(frozen=True)
class NetworkFacts:
    """What is known of a network before it is trained.

    Attributes:
        profile: of what it is from the start.
        costs: of what becomes of it.
        levels: that say what becomes of it.
        placement: where values between its layers are quantized.
        network: what a file holds of what it is from the start.
    """

    profile: Profile
    costs: Costs
    levels: Levels
    placement: Placement
    network: Mapping[str, Any]


class PackedPrediction:
    """Predicts files of packed weights of one task.

    Args:
        dense: the dense network, plain.
    """

    def __init__(self, dense: nn.Module) -> None:
        weights = {id(layer.weight) for _, layer in weighted_layers(dense)}
        parameters = [(name, p) for name, p in dense.named_parameters() if id(p) not in weights]
        buffers = list(stored_buffers(dense))
        self._others: list[tuple[str, tuple[int, ...]]] = [(name, tuple(p.shape)) for name, p in parameters]
        self._others += [(name, tuple(buffer.shape)) for name, buffer, statistic in buffers if statistic]
        constants = [(name, buffer) for name, buffer, statistic in buffers if not statistic]
        self._constants = {name: (tuple(b.shape), b.numel() * b.element_size()) for name, b in constants}

    def bytes(self, facts: NetworkFacts, symbols: SymbolsOf | None) -> Piece:
        """Bytes of the file, and how many of them are coded values.

        Args:
            facts: of the network.
            symbols: of the weights; None where nothing is coded.
        """
        profile, levels = facts.profile, facts.levels
        tied = {layer.name for layer in profile.layers if layer.tied is not None}
        size, coded = float(facts.costs.bytes), 0.0
        tensors: list[_Tensor] = []
        layers: dict[str, Any] = {}
        for row in facts.costs.per_layer:
            if row.dropped:
                continue
            masked = row.name in levels.retained
            of_row = None if symbols is None else symbols(row)
            size_of = (row.weight_count, row.retained, row.bits, of_row)
            found = expected_size(*size_of, masked=masked, compress=symbols is not None)
            if row.name not in tied:
                size += found.bytes - formula_bytes(row.weight_count, row.retained, row.bits)
                coded += found.coded
                tensors += _tensors(row, found, levels)
            layers[row.name] = _entry(row, found, levels, facts.placement, masked=masked)
        standing = _modules(profile, levels.dropped)
        tensors += [(name, "F32", shape, SOME_BYTES) for name, shape in self._others if _module(name) in standing]
        constants = [name for name in self._constants if not _module(name).startswith(_gone(levels))]
        tensors += [(name, "F32", *self._constants[name]) for name in constants]
        size += sum(self._constants[name][1] for name in constants)
        entries = {
            "layers": layers,
            "record": _record(facts),
            "constants": constants,
            "compressed": symbols is not None,
            "torch": str(torch.__version__),
            "task": None,
        }
        text = json.dumps(entries, separators=(",", ":"))
        metadata = {"format": PACKED_FORMAT, "version": str(PACKED_VERSION), "autoreg": text}
        return Piece(size + header_bytes(tensors, metadata), coded)


def _module(name: str) -> str:
    return name.rpartition(".")[0]


def _gone(levels: Levels) -> tuple[str, ...]:
    return tuple(f"{block}." for block in levels.dropped)


def _modules(profile: Profile, dropped: Sequence[str]) -> set[str]:
    """Names of the modules that hold parameters."""
    held = [(part.name, part.block) for part in profile.layers] + [(part.name, part.block) for part in profile.others]
    return {name for name, block in held if block is None or block not in dropped}


def _record(facts: NetworkFacts) -> dict[str, Any]:
    """The structure; of removed channels how many are known and not which: evenly spread ones stand for them."""
    levels = facts.levels
    record: dict[str, Any] = {"network": dict(facts.network)} if facts.network else {}
    record |= {"dropped": list(levels.dropped)} if levels.dropped else {}
    if levels.channels:
        sizes = {group.id: group.size for group in groups_after(facts.profile, levels.dropped)}
        gone = {name: sizes[name] - left for name, left in levels.channels.items() if left < sizes[name]}
        record["removed"] = {n: [k * sizes[n] // count for k in range(count)] for n, count in gone.items()}
    return record | ({"ranks": dict(levels.ranks)} if levels.ranks else {})


def _tensors(row: LayerCost, found: PackedSize, levels: Levels) -> Iterator[_Tensor]:
    name = f"{row.name}.weight"
    if row.bits == FLOAT_BITS:
        yield f"{name}:values", "F32", [round(found.values.bytes / FLOAT_BYTES)], found.values.bytes
    else:
        yield f"{name}:values", "U8", [round(found.values.bytes)], found.values.bytes
        scales = 1 if levels.granularity == "tensor" else row.shape[0]
        yield f"{name}:scale", "F32", [scales], scales * SCALE_BYTES
        if not levels.symmetric:
            yield f"{name}:zero_point", "U8", [scales], scales * ZERO_POINT_BYTES
    if found.positions is not None:
        yield f"{name}:positions", "U8", [round(found.positions.bytes)], found.positions.bytes


def _entry(row: LayerCost, found: PackedSize, levels: Levels, placement: Placement, *, masked: bool) -> dict[str, Any]:
    """A layer's entry in the metadata, as `autoreg.artifacts.packed.layer.write_layer` writes it."""
    entry: dict[str, Any] = {"shape": list(row.shape), "packing": found.packing, "kept": row.retained}
    if row.bits < FLOAT_BITS:
        high = 2 ** (row.bits - 1) - 1 if levels.symmetric else 2**row.bits - 1
        entry["weight"] = {"bits": row.bits, "low": -high if levels.symmetric else 0, "high": high}
        entry |= {"axis": 0} if levels.granularity == "channel" else {}
    if row.activation_bits < FLOAT_BITS:
        grid = {"scale": TYPICAL_SCALE, "zero_point": 0, "low": 0, "high": 2**row.activation_bits - 1}
        grid["bits"] = row.activation_bits
        entry["input"] = grid
        entry |= {"shared": True} if row.name in placement.producers else {}
        entry |= {"output": grid} if row.name in placement.quantized_outputs else {}
    entry |= {"masked": True} if masked else {}
    return entry | ({"coded": found.coded_names} if found.coded_names else {})
