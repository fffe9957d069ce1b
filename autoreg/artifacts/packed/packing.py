"""One weight tensor as the pieces that a file holds: the smallest of dense, bitmask and index packing.

The rule of `autoreg.costs.formulas.packed_bytes`, put into practice: without entropy coding the pieces of a tensor,
scales and zero points apart, are `packed_bytes(count, retained, bits)` bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from autoreg.artifacts.packed.bits import Bytes, pack_bits, packed_size, unpack_bits
from autoreg.artifacts.packed.entropy import DamagedError, decode
from autoreg.costs.formulas import FLOAT_BITS

PACKINGS = ("dense", "bitmask", "index")
VALUES, POSITIONS = "values", "positions"
Encoder = Callable[[Bytes], Bytes]
"""The entropy code of symbols of one byte each."""


@dataclass(frozen=True)
class Packed:
    """A weight tensor in pieces.

    Attributes:
        packing: `dense`, `bitmask` or `index`.
        pieces: `values` and, unless dense, `positions`: bytes, or float32 where values are in floating point.
        coded: names of the pieces that are entropy-coded.
        retained: weights that are not masked.
    """

    packing: str
    pieces: Mapping[str, Bytes | NDArray[np.float32]]
    coded: tuple[str, ...]
    retained: int

    @property
    def size(self) -> int:
        """Bytes of all pieces."""
        return sum(piece.nbytes for piece in self.pieces.values())


def pack(
    values: NDArray[np.uint8] | NDArray[np.float32],
    mask: NDArray[np.bool_] | None,
    bits: int,
    *,
    encoder: Encoder | None = None,
) -> Packed:
    """Pack a tensor in the way that takes the fewest bytes; the first of `PACKINGS` on equal sizes.

    Args:
        values: one dimension: whole numbers in [0, 2**bits), or float32 where `bits` is 32.
        mask: True stays, shaped like the values; None where all do.
        bits: 2 to 8, or 32.
        encoder: makes the entropy code of a piece of whole numbers, taken where it is smaller; None for none.
    """
    whole = _piece(values, bits, encoder)
    count = len(values)
    retained = count if mask is None else int(mask.sum())
    found = [Packed("dense", {VALUES: whole[0]}, (VALUES,) if whole[1] else (), retained)]
    if mask is not None and retained < count:
        some = _piece(values[mask], bits, encoder)
        width = (count - 1).bit_length()
        ways = {
            "bitmask": _piece(mask.astype(np.uint8), 1, encoder),
            "index": (pack_bits(np.flatnonzero(mask), width), False),
        }
        for packing, positions in ways.items():
            both = {VALUES: some, POSITIONS: positions}
            pieces = {name: piece for name, (piece, _) in both.items()}
            found.append(Packed(packing, pieces, tuple(name for name, (_, coded) in both.items() if coded), retained))
    return min(found, key=lambda packed: packed.size)


def unpack(packed: Packed, count: int, bits: int) -> tuple[NDArray[np.generic], NDArray[np.bool_] | None]:
    """Take the pieces apart again.

    Args:
        packed: its pieces may come from a file.
        count: weights in the tensor.
        bits: 2 to 8, or 32.

    Returns:
        The values that are held (all of them if dense, else those that stay), and the mask, None if dense.

    Raises:
        DamagedError: if sizes or positions do not fit.
    """
    if packed.packing == "dense":
        return _read(packed, VALUES, count, bits), None
    if packed.packing not in PACKINGS or not 0 <= packed.retained <= count:
        raise DamagedError(f"a tensor is packed as {packed.packing!r}, {packed.retained} of {count} retained")
    if packed.packing == "bitmask":
        mask = _read(packed, POSITIONS, count, 1).astype(np.bool_)
    else:
        places = _read(packed, POSITIONS, packed.retained, (count - 1).bit_length())
        if len(places) and int(places.max()) >= count:
            raise DamagedError("a position lies outside of its tensor")
        mask = np.zeros(count, np.bool_)
        mask[places] = True
    if int(mask.sum()) != packed.retained:
        raise DamagedError(f"{int(mask.sum())} positions, {packed.retained} values")
    return _read(packed, VALUES, packed.retained, bits), mask


def _piece(
    numbers: NDArray[np.uint8] | NDArray[np.float32], bits: int, encoder: Encoder | None
) -> tuple[Bytes | NDArray[np.float32], bool]:
    """A piece, and whether it is entropy-coded."""
    if bits == FLOAT_BITS:
        return numbers.astype("<f4"), False
    plain = pack_bits(numbers.astype(np.uint8), bits)
    if encoder is not None and len(plain):
        coded = encoder(numbers.astype(np.uint8))
        if len(coded) < len(plain):
            return coded, True
    return plain, False


def _read(packed: Packed, name: str, count: int, bits: int) -> NDArray[np.generic]:
    piece = packed.pieces[name]
    if name in packed.coded:
        return decode(piece.view(np.uint8), count)
    expected = count if bits == FLOAT_BITS and name == VALUES else packed_size(count, bits)
    if piece.ndim != 1 or len(piece) != expected:
        raise DamagedError(f"{len(piece)} entries where {expected} are expected")
    return piece if bits == FLOAT_BITS and name == VALUES else unpack_bits(piece.view(np.uint8), count, bits)
