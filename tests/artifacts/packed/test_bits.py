"""Whole numbers in a row: round trips, and the order of their bits."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from autoreg.artifacts.packed.bits import pack_bits, packed_size, unpack_bits


@given(st.integers(1, 32), st.lists(st.integers(0, 2**32 - 1), max_size=40))
def test_bits_round_trip_and_lie_in_little_endian_order(width: int, numbers: list[int]) -> None:
    values = np.array([n % 2**width for n in numbers], np.uint32)
    packed = pack_bits(values, width)
    assert len(packed) == packed_size(len(values), width)
    whole = int.from_bytes(packed.tobytes(), "little")
    assert whole == sum(int(value) << (k * width) for k, value in enumerate(values))
    assert unpack_bits(packed, len(values), width).tolist() == values.tolist()


def test_packing_crosses_chunks() -> None:
    values = np.random.default_rng(0).integers(0, 8, (1 << 20) + 3, dtype=np.uint8)
    assert (unpack_bits(pack_bits(values, 3), len(values), 3) == values).all()
