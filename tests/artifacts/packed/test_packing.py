"""Pieces of a tensor weigh what the formula of costs says, and come back exactly."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from autoreg.artifacts.packed.entropy import encode
from autoreg.artifacts.packed.packing import pack, unpack
from autoreg.costs.formulas import packed_bytes


@given(st.integers(1, 300), st.floats(0, 1), st.sampled_from([2, 3, 4, 5, 6, 7, 8, 32]), st.booleans())
@settings(max_examples=120, deadline=None)
def test_pieces_weigh_what_the_formula_says(size: int, density: float, bits: int, compress: bool) -> None:
    rng = np.random.default_rng(size)
    values: Any = rng.integers(0, 2**bits, size) if bits < 32 else rng.normal(size=size)
    values = values.astype(np.uint8 if bits < 32 else np.float32)
    mask = rng.random(size) < density
    packed = pack(values, mask, bits, encoder=encode if compress else None)
    formula = packed_bytes(size, int(mask.sum()), bits)
    assert packed.size <= formula if compress else packed.size == formula
    held, where = unpack(packed, size, bits)
    assert (held == (values if where is None else values[mask])).all()
    assert where is None or (where == mask).all()
