"""Values as bytes: JSON data with NumPy arrays and tensors anywhere in it, as one safetensors file.

JSON data are mappings with text keys, lists, text, numbers, true, false and none. The arrays stand in the file as they
are, the rest as JSON in its header; nothing is run when it is read. Torch is imported only where a tensor is met.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

MARK = "$array"
"""Key of the mapping that stands for an array in the JSON part."""


def encode(value: Any, seconds: float = 0.0) -> bytes:
    """Return a value as the bytes of a safetensors file.

    Raises:
        TypeError: If it holds something that is no data, or that would come back changed (tuples, keys that are no
            text).
        ValueError: If a number of JSON is too large.
    """
    arrays: dict[str, Any] = {}
    plain = _plain(value, arrays)
    header = {"autoreg": json.dumps({"value": plain, "seconds": round(seconds, 6)})}
    if any(not isinstance(a, np.ndarray) for a in arrays.values()):
        import torch
        from safetensors.torch import save

        tensors = {n: torch.from_numpy(a) if isinstance(a, np.ndarray) else a for n, a in arrays.items()}
        return save(tensors, header)
    from safetensors.numpy import save as save_arrays

    return save_arrays(arrays, header)


def decode(content: bytes) -> tuple[Any, float]:
    """Read what `encode` wrote: the value, with tensors on the CPU, and the seconds that it took.

    Raises:
        ValueError: If the bytes are no such file, or what they hold is nested too deeply to be read.
    """
    from safetensors import SafetensorError

    try:
        size = int.from_bytes(content[:8], "little")
        described = json.loads(json.loads(content[8 : 8 + size])["__metadata__"]["autoreg"])
        kinds = {leaf[MARK]: leaf["kind"] for leaf in _leaves(described["value"])}
        if "torch" in kinds.values():
            from safetensors.torch import load

            tensors: Mapping[str, Any] = load(content)
            held = {n: t if kinds[n] == "torch" else t.numpy() for n, t in tensors.items()}
        else:
            from safetensors.numpy import load as load_arrays

            held = dict(load_arrays(content))
        return _filled(described["value"], held), float(described["seconds"])
    except (SafetensorError, UnicodeDecodeError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise ValueError(f"no cached value: {error}") from error


def _plain(value: Any, arrays: dict[str, Any]) -> Any:
    if value is None or type(value) in (str, bool, int, float):
        return value
    if isinstance(value, np.generic):
        return _plain(value.item(), arrays)
    name = str(len(arrays))
    if isinstance(value, np.ndarray):
        if value.dtype.kind not in "biuf" or value.dtype.itemsize > 8:
            raise TypeError(f"an array of {value.dtype} cannot be kept")
        arrays[name] = np.array(value, dtype=value.dtype.newbyteorder("="), order="C")
        return {MARK: name, "kind": "numpy"}
    if hasattr(value, "detach") and hasattr(value, "cpu"):
        if value.layout.__repr__() != "torch.strided" or value.is_complex():
            raise TypeError("a sparse or complex tensor cannot be kept")
        arrays[name] = value.detach().cpu().contiguous().clone()
        return {MARK: name, "kind": "torch"}
    if type(value) is list:
        return [_plain(item, arrays) for item in value]
    if isinstance(value, dict) and all(type(k) is str for k in value) and MARK not in value:
        return {k: _plain(item, arrays) for k, item in value.items()}
    raise TypeError(f"{type(value).__name__} cannot be kept")


def _leaves(plain: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(plain, Mapping):
        if MARK in plain:
            yield plain
        else:
            for item in plain.values():
                yield from _leaves(item)
    elif isinstance(plain, list):
        for item in plain:
            yield from _leaves(item)


def _filled(plain: Any, arrays: Mapping[str, Any]) -> Any:
    if isinstance(plain, Mapping):
        return arrays[plain[MARK]] if MARK in plain else {k: _filled(item, arrays) for k, item in plain.items()}
    return [_filled(item, arrays) for item in plain] if isinstance(plain, list) else plain
