"""Values as bytes: what is written comes back bit for bit, and what would not is refused."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load

from autoreg.serialization import decode, encode

VALUES = [
    None,
    3,
    0.1 + 0.2,
    "text with $array",
    [1, [2.5, "x"], {}],
    {"a": {"b": [True, None]}},
    np.arange(6.0).reshape(2, 3).T,
    np.array(2, dtype=np.int8),
    np.zeros((0, 3), dtype=np.float16),
    torch.arange(6).reshape(2, 3).t(),
    torch.randn(3, generator=torch.Generator().manual_seed(0)).to(torch.bfloat16),
    {"features": np.arange(3, dtype=np.uint16), "weights": [torch.ones(2), {"rate": 1e-5}]},
]


def same(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, np.ndarray):
        return (
            isinstance(other, np.ndarray)
            and one.dtype == other.dtype
            and one.shape == other.shape
            and np.array_equal(one, other)
        )
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(v, other[k]) for k, v in one.items())
    if isinstance(one, list):
        return len(one) == len(other) and all(same(a, b) for a, b in zip(one, other, strict=True))
    return type(one) is type(other) and one == other


@pytest.mark.parametrize("value", VALUES, ids=[str(k) for k in range(len(VALUES))])
def test_what_is_written_comes_back(value: Any) -> None:
    found, seconds = decode(encode(value, 1.5))
    assert same(found, value)
    assert seconds == 1.5


def test_numpy_numbers_become_numbers_and_foreign_byte_orders_our_own() -> None:
    assert decode(encode([np.float32(0.5), np.int64(3), np.bool_(True)]))[0] == [0.5, 3, True]
    assert decode(encode(np.arange(3, dtype=">i4")))[0].tolist() == [0, 1, 2]


def test_the_file_is_one_of_safetensors_with_the_arrays_in_it() -> None:
    value = {"features": np.arange(6.0).reshape(2, 3), "weight": torch.ones(2, dtype=torch.float16), "rate": 0.5}
    held = load(encode(value))
    assert [(list(t.shape), t.dtype) for _, t in sorted(held.items())] == [
        ([2, 3], torch.float64),
        ([2], torch.float16),
    ]


@pytest.mark.parametrize(
    "value", [(1, 2), {1: 2}, {"$array": "0"}, object(), np.array(["a"]), torch.ones(2).to_sparse(), 1j, np.array(1j)]
)
def test_what_would_come_back_changed_is_refused(value: Any) -> None:
    with pytest.raises(TypeError, match="cannot be kept"):
        encode([value])


def test_bytes_that_are_no_value_are_refused() -> None:
    whole = encode(np.ones(4))
    for content in (b"", b"\xff" * 9, whole[:-3], b'{"value": [1,'):
        with pytest.raises(ValueError, match=r"no cached value|Expecting"):
            decode(content)


@pytest.mark.parametrize("depth", [900, 100_000])  # too deep to be walked, and to be read at all
def test_what_is_nested_too_deeply_is_no_value(depth: int) -> None:
    described = f'{{"value": {"[" * depth}{"]" * depth}, "seconds": 0}}'
    for header in (json.dumps({"__metadata__": {"autoreg": described}}), "[" * depth):
        with pytest.raises(ValueError, match=r"no cached value|Expecting"):
            decode(len(header).to_bytes(8, "little") + header.encode())


def test_torch_is_imported_only_where_there_is_a_tensor() -> None:
    code = """
import sys, tempfile, numpy as np
from autoreg.engine.log.trial_cache import clear_memory
from autoreg.engine.log.trial import Trial
folder = tempfile.mkdtemp()
for _ in range(2):
    found = Trial(cache=folder).cached("k", lambda: {"rate": 0.5, "features": np.arange(3)})
    clear_memory()
print(found["features"].tolist(), "torch" in sys.modules)
"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.split("\n")[0] == "[0, 1, 2] False"
