"""Weights packed at their bit-width in a safetensors file, and the loader that makes a network of them again.

docs/formats.md describes the file. Nothing in it is executed: tensors and JSON only. The user's own code builds the
dense network; the file says which blocks, channels and ranks are gone, and holds the numbers.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.instancenorm import _InstanceNorm

from autoreg.artifacts.deployable import Deployable, LayerCode
from autoreg.artifacts.packed.bits import Bytes
from autoreg.artifacts.packed.entropy import DamagedError, encode_all
from autoreg.artifacts.packed.layer import flat_mask, held_numbers, read_layer, write_layer
from autoreg.artifacts.packed.packing import Encoder, pack
from autoreg.errors import InputError
from autoreg.files import parse_json, write_whole
from autoreg.methods.weights import weighted_layers
from autoreg.network.conv1d import conv1d_as_linear
from autoreg.network.surgery.apply import apply_structure
from autoreg.network.surgery.factorize import factorize
from autoreg.network.weights import weight_of

PACKED_FORMAT = "autoreg-packed"
PACKED_VERSION = 1
_FACTS = {"layers": dict, "record": dict, "constants": list}  # what is read of the metadata
STRUCTURE = ("network", "dropped", "removed", "ranks")
"""Entries of a trial's record that say what the network has become; `network` is what it was from the start."""
BUILDER_ARGUMENTS = ("width", "blocks")
"""Entries of `network` where the task built it: what its builder is called with."""


def save_packed(
    path: str | os.PathLike[str],
    deployable: Deployable,
    record: Mapping[str, Any],
    *,
    compress: bool = False,
    task: str | None = None,
) -> int:
    """Write a finished network as packed weights, whole or not at all.

    Without `compress`, the bytes of the tensors are `Costs.bytes` of the network, plus its constants (persistent
    buffers other than running statistics), which the formula does not count. Grids of inputs and outputs stand in
    the metadata. `num_batches_tracked` is not stored.

    Args:
        path: the file.
        deployable: its batch norms not folded.
        record: what `autoreg.trial.model_state.pack` records; the entries in `STRUCTURE` are stored.
        compress: entropy-code each piece of whole numbers where that makes it smaller.
        task: name of the task, for the reader's information.

    Returns:
        Size of the file in bytes.

    Raises:
        AutoregError: if integers and weights of a layer do not agree.
    """
    content = packed_content(deployable, record, compress=compress, task=task)
    write_whole(Path(path), content)
    return len(content)


def packed_content(
    deployable: Deployable, record: Mapping[str, Any], *, compress: bool = False, task: str | None = None
) -> bytes:
    """The content of the file that `save_packed` writes, with the arguments of that.

    Raises:
        AutoregError: if integers and weights of a layer do not agree.
    """
    from safetensors.numpy import save

    model, encoder = deployable.model, _encoder(deployable) if compress else None
    tensors: dict[str, Any] = {}
    layers: dict[str, Any] = {}
    first: dict[int, str] = {}
    for name, layer in weighted_layers(model):
        owner = first.setdefault(id(layer.weight), name)
        layers[name] = write_layer(tensors, name, weight_of(layer), deployable, owner, encoder=encoder)
    for name, parameter in model.named_parameters():
        if id(parameter) not in first:
            tensors[name] = _plain(parameter)
    constants: list[str] = []
    for name, buffer, statistic in stored_buffers(model):
        tensors[name] = _plain(buffer) if statistic else buffer.detach().cpu().contiguous().numpy()
        constants += [] if statistic else [name]
    facts = {
        "layers": layers,
        "record": {key: record[key] for key in STRUCTURE if record.get(key)},
        "constants": constants,
        "compressed": compress,
        "torch": str(torch.__version__),
        "task": task,
    }
    metadata = {
        "format": PACKED_FORMAT,
        "version": str(PACKED_VERSION),
        "autoreg": json.dumps(facts, allow_nan=False, separators=(",", ":")),
    }
    content: bytes = save(tensors, metadata)
    return content


def load_packed(path: str | os.PathLike[str], build: Callable[..., nn.Module], *, example_input: Any) -> Deployable:
    """Make the network of a file that `save_packed` wrote.

    Args:
        path: the file.
        build: gives the dense network, its weights of no matter; is called with `width` and `blocks` where the file
            says that the network was built with them.
        example_input: what the network is called with; removing channels replays on it.

    Returns:
        The network with its codes and masks. Where a masked tensor was smallest without its mask, zeros are taken
        for masked.

    Raises:
        InputError: if the file is missing, none of ours, cut off or of another version, or the network does not fit.
    """
    where = str(path)
    facts, tensors = _read(where)
    try:
        model = conv1d_as_linear(build(**_arguments(facts["record"]))).cpu().eval()
        _replay(model, example_input, facts["record"])
        deployable = _fill(model, facts, tensors, where)
    except InputError as error:
        raise error if str(error).startswith(where) else InputError(f"{where}: {error}") from error
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise InputError(f"{where}: damaged ({type(error).__name__}: {error})") from error
    return deployable


def _encoder(deployable: Deployable) -> Encoder:
    """Gives the codes of the pieces of all weights in the order of the layers; they are made together."""
    pieces: list[Bytes] = []

    def note(symbols: Bytes) -> Bytes:
        pieces.append(symbols)
        return symbols

    seen: set[int] = set()
    for name, layer in weighted_layers(deployable.model):
        if id(layer.weight) not in seen:
            numbers, bits = held_numbers(weight_of(layer), deployable.codes.get(name, LayerCode()))
            pack(numbers, flat_mask(deployable.masks.get(name)), bits, encoder=note)
        seen.add(id(layer.weight))
    codes = iter(encode_all(pieces))
    return lambda symbols: next(codes)


def _plain(tensor: Tensor) -> Any:
    """Numbers that are not packed: float32, other kinds as they are."""
    tensor = tensor.detach().cpu()
    return (tensor.float() if tensor.is_floating_point() else tensor).contiguous().numpy()


def stored_buffers(model: nn.Module) -> Iterator[tuple[str, Tensor, bool]]:
    """Buffers that are stored, and whether each is a running statistic."""
    stored = model.state_dict().keys()
    for name, buffer in model.named_buffers():
        parent, _, own = name.rpartition(".")
        norm = isinstance(model.get_submodule(parent), _BatchNorm | _InstanceNorm)
        if name in stored and not (norm and own == "num_batches_tracked"):
            yield name, buffer, norm and own in ("running_mean", "running_var")


def _read(where: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(where, framework="pt") as handle:
            metadata = handle.metadata() or {}
            if metadata.get("format") != PACKED_FORMAT:
                raise InputError(f"{where}: holds no packed weights (written by `autoreg export --format safetensors`)")
            if metadata.get("version") != str(PACKED_VERSION):
                raise InputError(
                    f"{where}: packed weights of version {metadata.get('version')}; allowed: {PACKED_VERSION}"
                )
            facts = _facts(metadata["autoreg"])
            return facts, {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118
    except OSError as error:
        raise InputError(f"{where}: cannot be read ({error.strerror or error})") from error
    except SafetensorError as error:
        with open(where, "rb") as raw:
            ours = raw.read(9)[8:] == b"{"
        what = "is cut off or damaged" if ours else "is no safetensors file"
        raise InputError(f"{where}: {what} ({error})") from error
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{where}: damaged ({type(error).__name__}: {error})") from error


def _facts(text: str) -> dict[str, Any]:
    """The metadata of a file, its parts of the types that they are written with."""
    facts = parse_json(text)
    found: dict[str, Any] = {name: facts[name] for name in _FACTS}
    for name, kind in _FACTS.items():
        if not isinstance(found[name], kind):
            raise TypeError(f"{name!r} is a {type(found[name]).__name__}")
    if not all(isinstance(entry, dict) for entry in found["layers"].values()):
        raise TypeError("a layer is no mapping")
    return found


def _arguments(record: Mapping[str, Any]) -> dict[str, Any]:
    network = record.get("network", {})
    return {name: network[name] for name in BUILDER_ARGUMENTS if name in network}


def _replay(model: nn.Module, example_input: Any, record: Mapping[str, Any]) -> None:
    for part in (record.get("network", {}), record):  # what the network was from the start, then what became of it
        removed = {group: [int(i) for i in indices] for group, indices in part.get("removed", {}).items()}
        apply_structure(model, example_input, part.get("dropped", ()), removed)
    factorize(model, {name: int(rank) for name, rank in record.get("ranks", {}).items()}, values=False)


def _fill(model: nn.Module, facts: Mapping[str, Any], tensors: dict[str, Tensor], where: str) -> Deployable:
    known = dict(weighted_layers(model))
    if known.keys() != facts["layers"].keys():
        odd = sorted(known.keys() ^ facts["layers"].keys())[0]
        side = "the network that was built" if odd in known else "the file"
        raise InputError(f"{where}: layer {odd!r} is only in {side}; it must be built as it was for the trial")
    codes: dict[str, LayerCode] = {}
    masks: dict[str, Tensor] = {}
    first: dict[int, str] = {}
    left = dict(tensors)
    for name, layer in known.items():
        weight = weight_of(layer)
        owner = first.setdefault(id(weight), name)
        if facts["layers"][name].get("tied") != (None if owner == name else owner):
            raise InputError(f"{where}: the weight of layer {name!r} is shared in the file or in the network, not both")
        try:
            value, code, mask = read_layer(left, name, facts["layers"][name], tuple(weight.shape), codes, masks)
        except DamagedError as error:
            raise InputError(f"{where}: the weight of layer {name!r} is damaged ({error})") from error
        if value is not None:
            _copy(weight, value)
        if code is not None:
            codes[name] = code
        if mask is not None:
            masks[name] = mask
    rest: dict[str, Tensor] = {
        name: parameter for name, parameter in model.named_parameters() if id(parameter) not in first
    }
    rest |= {name: buffer for name, buffer, _ in stored_buffers(model)}
    for name, target in rest.items():
        if name not in left:
            raise InputError(f"{where}: holds no {name!r}, which the network has, with shape {tuple(target.shape)}")
        value = left.pop(name)
        if value.shape != target.shape:
            shapes = f"{tuple(value.shape)} in the file, {tuple(target.shape)} in the network"
            raise InputError(f"{where}: the shape of {name!r} is {shapes}")
        _copy(target, value)
    if left:
        raise InputError(f"{where}: holds {sorted(left)[0]!r}, which the network does not have")
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    return Deployable(model, codes, masks)


def _copy(target: Tensor, value: Tensor) -> None:
    with torch.no_grad():
        target.copy_(value)
