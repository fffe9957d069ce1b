"""The identity of a task, by content: what every cache of trained networks is keyed by."""

from __future__ import annotations

import hashlib
import inspect
import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, Any, Protocol

from autoreg.lazy import lazy_module
from autoreg.tasks.batches import tensors_of
from autoreg.tasks.splits import named_sets, seed_loaders

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn
else:
    torch = lazy_module("torch")

INITIAL_SEED = 0  # part of every cache's key: another seed is another task


class Identified(Protocol):
    """What of a task its identity depends on: model, data, parameters."""

    _factory: str

    @property
    def folds(self) -> tuple[str, ...]:
        """Names that `loaders` is called with."""

    @property
    def locations(self) -> tuple[str, ...]:
        """Parameters that say only where data is."""

    def build_model(self) -> nn.Module:
        """A new model."""

    def loaders(self, fold: str) -> dict[str, Any]:
        """Loaders of the four splits."""

    def parameters(self) -> dict[str, Any]:
        """The constructor's arguments by name."""

    def data_digest(self) -> str:
        """Digest of the data."""


_MAIN = ("__main__", "__mp_main__")
_FOREIGN = ("torch", "builtins", "typing", "abc", "collections")


def fingerprint(task: Identified) -> str:
    """sha256 over class, parameters, sources, data and initial model of a task, 64 hex digits."""
    model = initial_model(task)
    classes = [base for base in type(task).__mro__ if base is not object]
    parts = {
        "class": _qualified(type(task)),
        "factory": task._factory,
        "parameters": {k: _plain(v) for k, v in task.parameters().items() if k not in task.locations},
        "sources": _sources([*classes, *(type(module) for module in model.modules())]),
        "data": task.data_digest(),
        "model": repr(model),
        "weights": weights_digest(model),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def initial_model(task: Identified, seed: int = INITIAL_SEED) -> torch.nn.Module:
    """The task's model, built from `seed` without moving torch's global generators."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return task.build_model()


def weights_digest(model: torch.nn.Module) -> str:
    """Digest of names, types, shapes and values of a model's state, 16 hex digits."""
    digest = hashlib.sha256()
    for name, tensor in model.state_dict().items():
        digest.update(name.encode())
        if isinstance(tensor, torch.Tensor):
            digest.update(tensor_digest(tensor).encode())
    return digest.hexdigest()[:16]


def data_digest(task: Identified) -> str:
    """Digest of the data of every split of every fold, in the order of a fixed seed, 16 hex digits."""
    digest, known = hashlib.sha256(), dict[Any, str]()
    for fold in task.folds:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(INITIAL_SEED)
            loaders = task.loaders(fold)
            seed_loaders(loaders, INITIAL_SEED)
            for split in sorted(loaders):
                for name, loader in named_sets(loaders[split]).items():
                    digest.update(f"{fold}/{split}/{name}/".encode())
                    digest.update(_loader_digest(loader, known).encode())
    return digest.hexdigest()[:16]


def _loader_digest(loader: Iterable[Any], known: dict[Any, str]) -> str:
    """Digest of one loader; `known` remembers tensors that several splits share."""
    rows = getattr(loader, "rows", None)
    if rows is None:
        return _digest_of(tensor_digest(tensor) for batch in loader for tensor in tensors_of(batch))
    order = loader.order  # type: ignore[attr-defined]
    parts = [f"{order.batch_size} {order.shuffle} {order.samples}", tensor_digest(rows.indices)]
    for tensor in rows.tensors:
        key = tensor.data_ptr(), tensor.dtype, tensor.shape, tensor.stride()
        if key not in known:
            known[key] = tensor_digest(tensor)
        parts.append(known[key])
    return _digest_of(parts)


def tensor_digest(tensor: Tensor) -> str:
    """Digest of type, shape and values of a tensor, 16 hex digits.

    A view in which rows overlap (windows of a text) is identified by its storage and strides: less to read.
    """
    value = tensor.detach().cpu()
    shape = f"{value.dtype} {tuple(value.shape)}"
    if value.untyped_storage().nbytes() < value.numel() * value.element_size():
        shape += f" {value.stride()} {value.storage_offset()}"
        value = torch.empty(0, dtype=value.dtype).set_(value.untyped_storage())
    digest = hashlib.sha256(shape.encode())
    digest.update(value.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()[:16]


def _sources(classes: Iterable[type]) -> dict[str, str]:
    """Digest of the source file of every class that is not torch's or the language's own."""
    found: dict[str, str] = {}
    for cls in classes:
        module = cls.__module__
        if module.split(".")[0] in _FOREIGN:
            continue
        text = None if module in _MAIN else _file_text(module)
        if text is None:  # a notebook, a script, or a class that came by value: identified by its compiled code
            found[_qualified(cls)] = _class_code(cls)
        else:
            found[module] = hashlib.sha256(text).hexdigest()[:16]
    return found


def _file_text(module: str) -> bytes | None:
    path = getattr(sys.modules.get(module), "__file__", None)
    return Path(path).read_bytes() if path and Path(path).is_file() else None


def _class_code(cls: type) -> str:
    members = sorted(vars(cls).items())
    functions = [(name, inspect.unwrap(getattr(value, "__func__", value))) for name, value in members]
    codes = [f"{name} {_code(f.__code__)}" for name, f in functions if isinstance(f, FunctionType)]
    values = [
        f"{name} {_plain(v)}" for name, v in members if isinstance(v, (str, int, float, tuple)) and name[:2] != "__"
    ]
    return _digest_of([*codes, *values])


def _code(code: CodeType) -> str:
    constants = [_code(c) if isinstance(c, CodeType) else _plain(c) for c in code.co_consts]
    return _digest_of([code.co_code.hex(), json.dumps(constants), " ".join(code.co_names)])


def _plain(value: Any) -> Any:
    """A parameter's value as JSON, the same in every process."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (set, frozenset)):
        return sorted(json.dumps(_plain(item)) for item in value)
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "__array__"):
        return tensor_digest(torch.as_tensor(value))
    return _qualified(value if callable(value) and hasattr(value, "__qualname__") else type(value))


def _qualified(thing: Any) -> str:
    module = thing.__module__
    return f"{'__main__' if module in _MAIN else module}:{thing.__qualname__}"


def _digest_of(parts: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.encode() + b"\0")
    return digest.hexdigest()[:16]
