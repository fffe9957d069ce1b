"""One layer in a file of packed weights: its tensors and its entry in the metadata."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from autoreg.artifacts.deployable import Deployable, Grid, LayerCode
from autoreg.artifacts.packed.entropy import DamagedError
from autoreg.artifacts.packed.packing import POSITIONS, VALUES, Encoder, Packed, pack, unpack
from autoreg.costs.formulas import FLOAT_BITS
from autoreg.errors import AutoregError, InputError
from autoreg.methods.functional.affine import dequantize


def write_layer(
    tensors: dict[str, Any], name: str, weight: Tensor, deployable: Deployable, owner: str, *, encoder: Encoder | None
) -> dict[str, Any]:
    """Put the tensors of a layer's weight into `tensors`, float32 or bytes.

    Args:
        tensors: changed in place.
        name: the layer.
        weight: its weight.
        deployable: codes and masks.
        owner: the first layer that holds this very tensor; only that one stores it.
        encoder: as of `pack`.

    Returns:
        The layer's entry in the metadata; what is null, false or empty is left out.

    Raises:
        AutoregError: if integers and weight do not agree.
    """
    code = deployable.codes.get(name, LayerCode())
    entry: dict[str, Any] = {
        "shape": list(weight.shape),
        "tied": None if owner == name else owner,
        "weight": None,
        "axis": code.axis,
        "input": _grid_entry(code.input),
        "shared": code.shared,
        "output": _grid_entry(code.output),
    }
    integers = code.integers
    if owner != name:
        held = deployable.codes.get(owner, LayerCode()).integers
        if (integers is None) != (held is None) or (integers is not None and not torch.equal(integers, held)):  # type: ignore[arg-type]
            raise AutoregError(f"layers {owner!r} and {name!r} share a weight, but not its integers")
        return _short(entry)
    mask = deployable.masks.get(name)
    if mask is not None and bool(weight[~mask].any()):
        raise AutoregError(f"layer {name!r}: a masked weight is not zero")
    return _short(entry | _write_weight(tensors, name, weight, code, mask, encoder=encoder))


def _write_weight(
    tensors: dict[str, Any], name: str, weight: Tensor, code: LayerCode, mask: Tensor | None, *, encoder: Encoder | None
) -> dict[str, Any]:
    """Put the tensors of a weight that is stored with this layer into `tensors`; its part of the entry."""
    entry: dict[str, Any] = {}
    grid, integers = code.weight, code.integers
    numbers, bits = held_numbers(weight, code)
    if grid is not None and integers is not None:
        value = values_of(integers, grid, code.axis)
        if not torch.allclose(value, weight.detach().cpu().float(), rtol=1e-5, atol=1e-12):
            raise AutoregError(f"layer {name!r}: its weight is not what its integers stand for")
        entry["weight"] = {"bits": bits, "low": grid.low, "high": grid.high}
        tensors[f"{name}.weight:scale"] = grid.scale.float().contiguous().numpy()
        if grid.low >= 0 or bool(grid.zero_point.any()):
            kind = torch.uint8 if grid.low >= 0 else torch.int8
            tensors[f"{name}.weight:zero_point"] = grid.zero_point.to(kind).contiguous().numpy()
    packed = pack(numbers, flat_mask(mask), bits, encoder=encoder)
    for piece, content in packed.pieces.items():
        tensors[f"{name}.weight:{piece}"] = content
    # `kept` is the format's own word, in files that are out there.
    entry |= {"packing": packed.packing, "kept": packed.retained, "masked": mask is not None}
    return entry | {"coded": list(packed.coded)}


def held_numbers(weight: Tensor, code: LayerCode) -> tuple[Any, int]:
    """What a file holds of a weight, in one dimension, and its bits: integers less the lowest, or float32."""
    if code.weight is None or code.integers is None:
        return weight.detach().cpu().float().reshape(-1).numpy(), FLOAT_BITS
    return (code.integers.reshape(-1).int() - code.weight.low).to(torch.uint8).numpy(), code.weight.bits


def flat_mask(mask: Tensor | None) -> Any:
    """A mask as an array of one dimension; None where there is none."""
    return None if mask is None else mask.cpu().reshape(-1).numpy()


def _short(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in entry.items() if value is not None and value is not False and value != []}


def read_layer(
    tensors: dict[str, Tensor],
    name: str,
    entry: Mapping[str, Any],
    shape: tuple[int, ...],
    codes: Mapping[str, LayerCode],
    masks: Mapping[str, Tensor],
) -> tuple[Tensor | None, LayerCode | None, Tensor | None]:
    """Take a layer's weight out of `tensors`.

    Args:
        tensors: what was read; what is used is taken out.
        name: the layer.
        entry: its entry in the metadata.
        shape: of the weight in the network that is filled.
        codes: of the layers before.
        masks: of the layers before.

    Returns:
        The weight (None where another layer holds it), the code and the mask.

    Raises:
        InputError: if a tensor is missing or of another shape.
        DamagedError: if the pieces do not fit.
    """
    if tuple(entry["shape"]) != shape:
        raise InputError(f"the shape of '{name}.weight' is {tuple(entry['shape'])} in the file, {shape} in the network")
    axis = entry.get("axis")
    ends = {
        "input": _grid_of(entry.get("input")),
        "shared": bool(entry.get("shared")),
        "output": _grid_of(entry.get("output")),
    }
    if entry.get("tied") is not None:
        owner = codes.get(entry["tied"], LayerCode())
        return None, _code(owner.weight, owner.integers, axis, **ends), masks.get(entry["tied"])
    grid = None if entry.get("weight") is None else _weight_grid(tensors, name, entry, shape)
    packed, count = _packed(tensors, name, entry), int(np.prod(shape, dtype=np.int64))
    held, places = unpack(packed, count, FLOAT_BITS if grid is None else grid.bits)
    retained = None if places is None else torch.from_numpy(places)
    if grid is None:
        integers, weight = None, _placed(torch.zeros(shape), torch.from_numpy(held.astype(np.float32)), retained)
    else:
        zeros = _along(grid.zero_point, shape, axis).expand(shape).to(torch.int16).contiguous()
        integers = _placed(zeros, torch.from_numpy(held.astype(np.int16) + np.int16(grid.low)), retained)
        if bool((integers > grid.high).any()):
            raise DamagedError(f"an integer is larger than {grid.high}")
        weight = values_of(integers, grid, axis)
    mask = None
    if entry.get("masked"):
        mask = weight != 0 if retained is None else retained.reshape(shape)
        if packed.retained == count:
            mask = torch.ones(shape, dtype=torch.bool)
    return weight, _code(grid, integers, axis, **ends), mask


def _weight_grid(tensors: dict[str, Tensor], name: str, entry: Mapping[str, Any], shape: tuple[int, ...]) -> Grid:
    """The grid of a layer's integers, one scale for each index along the entry's axis; its tensors are taken out."""
    bits, low, high = _range_of(entry["weight"])
    scale = _take(tensors, f"{name}.weight:scale")
    zero_point = tensors.pop(f"{name}.weight:zero_point", None)
    zero_point = torch.zeros_like(scale, dtype=torch.int32) if zero_point is None else zero_point.int()
    axis = entry.get("axis")
    if axis not in (None, 0, 1):
        raise DamagedError(f"scales along dimension {axis}")
    outputs = 1 if axis is None else shape[axis]
    if scale.shape != (outputs,) or zero_point.shape != (outputs,):
        raise DamagedError(f"{outputs} scales expected")
    return Grid(scale, zero_point, low, high, bits)


def _packed(tensors: dict[str, Tensor], name: str, entry: Mapping[str, Any]) -> Packed:
    """The pieces of a layer's weight; they are taken out of `tensors`."""
    names = (VALUES,) if entry["packing"] == "dense" else (VALUES, POSITIONS)
    pieces = {piece: _take(tensors, f"{name}.weight:{piece}").numpy() for piece in names}
    return Packed(entry["packing"], pieces, tuple(entry.get("coded", ())), int(entry["kept"]))


def _placed(empty: Tensor, held: Tensor, retained: Tensor | None) -> Tensor:
    """`empty`, changed in place: the numbers held, in order, where `retained` [count] says so, or everywhere."""
    empty.view(-1)[slice(None) if retained is None else retained] = held
    return empty


def values_of(integers: Tensor, grid: Grid, axis: int | None) -> Tensor:
    """The values of a weight's integers, float32, shaped like them."""
    shape = tuple(integers.shape)
    return dequantize(integers.float(), _along(grid.scale, shape, axis), _along(grid.zero_point, shape, axis).float())


def _along(numbers: Tensor, shape: tuple[int, ...], axis: int | None) -> Tensor:
    return numbers.reshape([-1 if dim == axis else 1 for dim in range(len(shape))])


def _code(weight: Grid | None, integers: Tensor | None, axis: int | None, **ends: Any) -> LayerCode | None:
    if weight is None and ends["input"] is None and ends["output"] is None:
        return None
    return LayerCode(weight, integers, axis, **ends)


def _take(tensors: dict[str, Tensor], name: str) -> Tensor:
    if name not in tensors:
        raise InputError(f"holds no {name!r}")
    return tensors.pop(name)


def _grid_entry(grid: Grid | None) -> dict[str, Any] | None:
    """A grid with one scale as JSON; a float32 survives exactly as a decimal number."""
    if grid is None:
        return None
    ends = {"low": grid.low, "high": grid.high, "bits": grid.bits}
    return {"scale": float(grid.scale), "zero_point": int(grid.zero_point), **ends}


def _grid_of(entry: Mapping[str, Any] | None) -> Grid | None:
    if entry is None:
        return None
    scale, zero_point = float(entry["scale"]), int(entry["zero_point"])
    bits, low, high = _range_of(entry)
    if not 0 < scale < math.inf or not low <= zero_point <= high:
        raise DamagedError(f"scale {scale} and zero point {zero_point} for integers from {low} to {high}")
    return Grid(torch.tensor([scale]), torch.tensor([zero_point], dtype=torch.int32), low, high, bits)


def _range_of(entry: Mapping[str, Any]) -> tuple[int, int, int]:
    """Bits, lowest and highest integer of a grid."""
    bits, low, high = (int(entry[key]) for key in ("bits", "low", "high"))
    if not 2 <= bits <= 8 or not -128 <= low <= high <= 255 or high - low >= 2**bits:
        raise DamagedError(f"{bits} bits for integers from {low} to {high}")
    return bits, low, high
