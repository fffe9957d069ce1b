"""Whole numbers of 1 to 32 bits in a row, without gaps. Loads without torch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]

_CHUNK = 1 << 20  # numbers at a time; a multiple of 8, so that every chunk ends at a byte


def packed_size(count: int, width: int) -> int:
    """Bytes of `count` numbers of `width` bits."""
    return (count * width + 7) // 8


def pack_bits(numbers: NDArray[np.integer], width: int) -> Bytes:
    """Pack numbers of `width` bits, the first in the lowest bits of the first byte (little-endian bit order).

    Bit i of number k is bit (k·width + i) of the result, where bit b is `result[b // 8] >> (b % 8) & 1`. The last
    byte is filled up with zeros.

    Args:
        numbers: one dimension, each in [0, 2**width).
        width: 0 to 32.

    Example:
        >>> pack_bits(np.array([1, 2, 7]), 3).tolist()
        [209, 1]
    """
    parts = [np.zeros(0, np.uint8)]
    for start in range(0, len(numbers) if width else 0, _CHUNK):
        chunk = np.ascontiguousarray(numbers[start : start + _CHUNK], dtype="<u4")
        bits = np.unpackbits(chunk.view(np.uint8).reshape(-1, 4), axis=1, bitorder="little")
        parts.append(np.packbits(bits[:, :width].reshape(-1), bitorder="little"))
    return np.concatenate(parts)


def unpack_bits(packed: Bytes, count: int, width: int) -> NDArray[np.uint32]:
    """The numbers that `pack_bits` packed.

    Args:
        packed: `packed_size(count, width)` bytes.
        count: how many numbers.
        width: 0 to 32.
    """
    found = np.zeros(count, dtype="<u4")
    for start in range(0, count if width else 0, _CHUNK):
        size = min(_CHUNK, count - start)
        part = packed[start * width // 8 : packed_size(start + size, width)]
        bits = np.zeros((size, 32), np.uint8)
        bits[:, :width] = np.unpackbits(part, count=size * width, bitorder="little").reshape(size, width)
        found[start : start + size] = np.packbits(bits, axis=1, bitorder="little").view("<u4")[:, 0]
    return found
