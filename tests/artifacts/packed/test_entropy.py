"""Entropy coding: exact, within 2 % of the bound, damage refused."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoreg.artifacts.packed.entropy import DamagedError, coded_size, decode, encode, encode_all, shannon_bytes


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 255), min_size=1, max_size=300), st.integers(1, 256))
def test_entropy_coding_round_trips(symbols: list[int], kinds: int) -> None:
    values = (np.array(symbols) % kinds).astype(np.uint8)
    assert (decode(encode(values), len(values)) == values).all()


@pytest.mark.parametrize(("share", "symbols"), [(0.5, 16), (0.9, 16), (0.97, 2), (0.3, 256)])
def test_entropy_coding_comes_within_two_percent_of_the_shannon_bound(share: float, symbols: int) -> None:
    draw = np.minimum(np.random.default_rng(0).geometric(share, 100_000) - 1, symbols - 1).astype(np.uint8)
    coded_size, bound = len(encode(draw)), shannon_bytes(draw)
    table = 4 + 3 * len(np.unique(draw))
    assert bound < coded_size - table < 1.02 * bound


def test_tensors_that_are_coded_together_are_coded_as_alone() -> None:
    rng = np.random.default_rng(0)
    sizes = ((1, 1.0), (300, 20.0), (5000, 2.0), (70_000, 0.1), (9216, 40.0), (400_000, 3.0))
    tensors = [np.clip(rng.normal(128, spread, n).round(), 0, 255).astype(np.uint8) for n, spread in sizes]
    together = encode_all(tensors)
    for symbols, code in zip(tensors, together, strict=True):
        assert (code == encode(symbols)).all()
        assert (decode(code, len(symbols)) == symbols).all()
    assert encode_all([]) == []


@pytest.mark.parametrize(("count", "spread"), [(1000, 20.0), (5000, 1.0), (100_000, 8.0)])
def test_the_length_of_a_code_is_known_from_the_entropy(count: int, spread: float) -> None:
    values = np.clip(np.random.default_rng(0).normal(128, spread, count).round(), 0, 255).astype(np.uint8)
    expected = coded_size(count, 8 * shannon_bytes(values) / count, len(np.unique(values)))
    assert len(encode(values)) == pytest.approx(expected, rel=0.01)


def test_the_shannon_bound_of_known_distributions() -> None:
    assert shannon_bytes(np.arange(256)) == 256
    assert shannon_bytes(np.repeat([0, 1], 800)) == 200
    assert shannon_bytes(np.zeros(99, int)) == 0


@given(st.integers(0, 2**32 - 1), st.integers(0, 60))
@settings(max_examples=60, deadline=None)
def test_damaged_codes_are_refused_or_decode_to_something(seed: int, at: int) -> None:
    values = np.random.default_rng(seed).integers(0, 5, 200).astype(np.uint8)
    code = encode(values)
    code[at % len(code)] ^= 1 << seed % 8
    with contextlib.suppress(DamagedError):
        assert len(decode(code, 200)) == 200
    with pytest.raises(DamagedError):
        decode(encode(values)[:-1], 200)
