"""Channel groups of networks that this process has analyzed before.

What can be removed from a network does not depend on the values of its weights, and a search cuts the same few
architectures again and again: their groups are found and verified once.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn
from torch.nn.utils.parametrize import type_before_parametrizations

from autoreg.network.inputs import tensors
from autoreg.network.shapes import ChannelGroup
from autoreg.network.source import code_digest, describe

MAX_KNOWN = 512  # architectures; the one that was least recently asked for goes first
_OWN = frozenset({*vars(nn.Module()), "training"})  # torch's own attributes of every module
_HOOKS = tuple(name for name in _OWN if name.endswith("_hooks"))

_known: OrderedDict[str, tuple[ChannelGroup, ...]] = OrderedDict()


def known_groups(
    model: nn.Module, example_input: Any, find: Callable[[], tuple[ChannelGroup, ...]]
) -> tuple[ChannelGroup, ...]:
    """The channel groups of a model: those of an equal architecture, or what `find` says.

    Args:
        model: the network.
        example_input: what it is called with.
        find: finds and verifies the groups; called where the architecture is new, or cannot be told from others.
    """
    key = architecture(model, example_input)
    if key is None:
        return find()
    found = _known.get(key)
    if found is None:
        found = _known[key] = find()
        if len(_known) > MAX_KNOWN:
            _known.popitem(last=False)
    _known.move_to_end(key)
    return found


def architecture(model: nn.Module, example_input: Any) -> str | None:
    """A digest of all that channel groups depend on: modules, settings, code, shapes, ties, integers and the input.

    Values of floating-point parameters and buffers do not count.

    Returns:
        None where a module has hooks, or an attribute of which nothing is known but where it lies in memory.
    """
    digest = hashlib.sha256()
    try:
        for given in tensors(example_input):
            digest.update(_tensor(given, values=True))
        for name, module in model.named_modules():
            digest.update(f"\n{name} {_module(module)}".encode())
        first: dict[int, str] = {}
        named = (*model.named_parameters(remove_duplicate=False), *model.named_buffers(remove_duplicate=False))
        for name, value in named:
            tied = first.setdefault(id(value), name)
            counts = not (value.is_floating_point() or name.endswith("num_batches_tracked"))
            digest.update(f"\n{name} {tied} ".encode() + _tensor(value, values=counts))
    except _UnknownError:
        return None
    return digest.hexdigest()


class _UnknownError(Exception):
    """Something of which two copies cannot be told apart from two that differ."""


def _module(module: nn.Module) -> str:
    if any(getattr(module, name, None) for name in _HOOKS):
        raise _UnknownError
    kind = type_before_parametrizations(module)
    settings = {key: _value(value) for key, value in sorted(vars(module).items()) if key not in _OWN}
    return f"{kind.__module__}.{kind.__qualname__} {code_digest(kind)} {module.extra_repr()} {settings}"


def _value(value: Any, depth: int = 0) -> str:
    """A value in words that are the same for copies of it, and differ where it differs."""
    if value is None or isinstance(value, bool | int | float | complex | str | bytes | torch.dtype | torch.device):
        return repr(value)
    if depth > 8:
        raise _UnknownError
    if isinstance(value, torch.Tensor):
        return _tensor(value, values=True).hex()
    if isinstance(value, list | tuple | set | frozenset):
        parts = [_value(one, depth + 1) for one in value]
        return f"{type(value).__qualname__}{sorted(parts) if isinstance(value, set | frozenset) else parts}"
    if isinstance(value, Mapping):
        return f"{type(value).__qualname__}{[(_value(k, depth + 1), _value(v, depth + 1)) for k, v in value.items()]}"
    if isinstance(value, nn.Module):
        raise _UnknownError  # one that torch does not see
    if callable(value):
        return describe(value)
    if hasattr(value, "__dict__") and not hasattr(type(value), "__slots__"):
        return f"{type(value).__module__}.{type(value).__qualname__}{_value(vars(value), depth + 1)}"
    raise _UnknownError


def _tensor(value: torch.Tensor, *, values: bool) -> bytes:
    text = f"{value.dtype} {tuple(value.shape)} {value.device.type}".encode()
    if not values:
        return text
    return text + value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
