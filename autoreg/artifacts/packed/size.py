"""The size of a file of packed weights before the network exists. Loads without torch.

What is not entropy-coded is known to the byte (`autoreg.costs`). Of a coded piece the entropy is taken from other
weights (`autoreg.artifacts.packed.statistics`), and the rest of the code's length is arithmetic. The header is written
out as `autoreg.artifacts.packed.file` writes it, with a typical number where the value is not known.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from autoreg.artifacts.packed.bits import packed_size
from autoreg.artifacts.packed.entropy import coded_size
from autoreg.costs.formulas import FLOAT_BITS

TYPICAL_SCALE = 0.013736370950937271
"""A float32 as JSON, of a length that most have."""


@dataclass(frozen=True)
class Symbols:
    """What an entropy coder makes of whole numbers: bits of entropy each, and how many distinct ones there are."""

    entropy: float
    distinct: float

    def bytes(self, count: int) -> float:
        """Expected bytes of `count` of them, coded."""
        return coded_size(count, self.entropy, self.distinct)


@dataclass(frozen=True)
class WeightSymbols:
    """Symbols of a weight: of all of its integers, zeros of the mask among them, and of those that the mask retains."""

    whole: Symbols
    retained: Symbols


@dataclass(frozen=True)
class Piece:
    """Bytes of a part of a tensor, and how many of them are coded, so that they are known with an error."""

    bytes: float
    coded: float = 0.0


@dataclass(frozen=True)
class PackedSize:
    """How a weight is expected to be packed.

    Attributes:
        packing: `dense`, `bitmask` or `index`.
        values: its numbers.
        positions: where they lie; None if dense.
    """

    packing: str
    values: Piece
    positions: Piece | None = None

    @property
    def bytes(self) -> float:
        """Of all pieces."""
        return self.values.bytes + (0.0 if self.positions is None else self.positions.bytes)

    @property
    def coded(self) -> float:
        """Bytes of them that are known with an error."""
        return self.values.coded

    @property
    def coded_names(self) -> list[str]:
        """Names of the pieces that are coded."""
        held = {"values": self.values, "positions": self.positions}
        return [name for name, piece in held.items() if piece is not None and piece.coded]


def expected_size(
    count: int, retained: int, bits: int, symbols: WeightSymbols | None, *, masked: bool, compress: bool
) -> PackedSize:
    """The packing that `autoreg.artifacts.packed.packing.pack` is expected to take, and its size.

    Args:
        count: weights in the tensor.
        retained: those that are not masked.
        bits: 2 to 8, or 32.
        symbols: of the weight's integers; None where they are not coded.
        masked: whether there is a mask.
        compress: whether positions are coded.
    """
    found = [PackedSize("dense", _piece(count, bits, None if symbols is None else symbols.whole))]
    if masked and retained < count:
        values = _piece(retained, bits, None if symbols is None else symbols.retained)
        width = (count - 1).bit_length()
        places = Symbols(_binary_entropy(retained / count), 2) if compress else None
        found += [
            PackedSize("bitmask", values, _piece(count, 1, places)),
            PackedSize("index", values, Piece(packed_size(retained, width))),
        ]
    return min(found, key=lambda one: one.bytes)


def _piece(count: int, bits: int, symbols: Symbols | None) -> Piece:
    plain = packed_size(count, bits)
    if bits == FLOAT_BITS or symbols is None or not count:
        return Piece(plain)
    coded = symbols.bytes(count)
    return Piece(coded, coded) if coded < plain else Piece(plain)


def _binary_entropy(share: float) -> float:
    return -sum(p * math.log2(p) for p in (share, 1 - share) if p > 0)


def header_bytes(tensors: Sequence[tuple[str, str, Sequence[int], float]], metadata: Mapping[str, str]) -> int:
    """Bytes before the first tensor of a safetensors file.

    Args:
        tensors: name, type, shape and bytes of each; the bytes say only how long the numbers of the header are.
        metadata: of the file.
    """
    content: dict[str, Any] = {"__metadata__": dict(metadata)}
    begin = 0
    for name, kind, shape, size in tensors:
        end = begin + round(size)
        content[name] = {"dtype": kind, "shape": list(shape), "data_offsets": [begin, end]}
        begin = end
    length = len(json.dumps(content, separators=(",", ":"), ensure_ascii=False).encode())
    return 8 + -(-length // 8) * 8
