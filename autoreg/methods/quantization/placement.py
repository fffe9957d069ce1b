"""Where the values between layers are quantized, so that a runtime can carry out what lies between in integers.

A layer runs in integers when its input, its weight and, for a convolution, its output are on a grid. A tensor that
several consumers share (a residual stream) is quantized once, where it is produced, so that an addition sees the same
grid as the next layer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from autoreg.lazy import lazy_module
from autoreg.methods.weights import weighted_layers
from autoreg.network.consumers import sole_consumers, tensor_version

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn
else:
    torch = lazy_module("torch")


@dataclass(frozen=True)
class Placement:
    """Where quantizers of values stand, beside the inputs of layers.

    Attributes:
        producers: by layer, the module whose output is quantized in place of the layer's input.
        quantized_outputs: by convolution, the module (the layer itself, its batch norm or its ReLU) whose output is
            quantized.
    """

    producers: Mapping[str, str] = field(default_factory=dict)
    quantized_outputs: Mapping[str, str] = field(default_factory=dict)


_Value = tuple[int, int]


@dataclass(eq=False)
class _Call:
    """One finished call of a module; its tensors are kept alive, so that their ids stay unique.

    `read` and `made` say which values the call took and gave: the tensor's id, and its version, since additions in
    place change what a tensor holds.
    """

    name: str
    leaf: bool
    module: Any
    input: Tensor | None
    output: Tensor | None
    read: _Value | None
    made: _Value | None


def placement(
    model: nn.Module,
    run: Callable[[nn.Module], Any],
    weight_bits: Mapping[str, int],
    activation_bits: Mapping[str, int],
) -> Placement:
    """Find where values are to be quantized by watching one forward pass.

    Args:
        model: run in evaluation mode and left as it was; no quantizers are attached yet.
        run: calls the model on an example.
        weight_bits: by layer; 32 is floating point.
        activation_bits: by layer; 32 is floating point.
    """
    calls = _watch(model, run)
    times: dict[str, int] = {}
    for call in calls:
        times[call.name] = times.get(call.name, 0) + 1
    layers = {name: module for name, module in weighted_layers(model) if times.get(name) == 1}
    consumers: dict[_Value, set[int]] = {}
    for call in calls:
        if call.name in layers and call.read is not None:
            consumers.setdefault(call.read, set()).add(activation_bits.get(call.name, 32))
    producers: dict[str, str] = {}
    for index, call in enumerate(calls):
        bits = activation_bits.get(call.name, 32)
        if call.name not in layers or bits == 32 or call.read is None or consumers[call.read] != {bits}:
            continue
        found = _producer(calls[:index], times, call.read)
        if found is not None:
            producers[call.name] = found
    read = {call.read for call in calls if call.name in layers and activation_bits.get(call.name, 32) < 32}
    starts = [
        index
        for index, call in enumerate(calls)
        if call.name in layers
        and max(weight_bits.get(call.name, 32), activation_bits.get(call.name, 32)) <= 8
        and not isinstance(call.module, torch.nn.Linear)
    ]
    quantized_outputs: dict[str, str] = {}
    for chain in _chains(model, run, calls, times, starts):
        if chain[-1].made not in read:
            quantized_outputs[chain[0].name] = [one.name for one in chain if times[one.name] == 1][-1]
    return Placement(producers, quantized_outputs)


def _watch(model: nn.Module, run: Callable[[nn.Module], Any]) -> list[_Call]:
    layers = dict(weighted_layers(model))
    calls: list[_Call] = []
    begun: list[tuple[str, _Value | None]] = []
    handles = []
    for name, module in model.named_modules():
        leaf = name in layers or not any(True for _ in module.children())

        def begin(module: Any, args: Any, kwargs: Any, name: str = name) -> None:
            begun.append((name, _value(args[0] if args else kwargs.get("input"))))

        def end(module: Any, args: Any, kwargs: Any, output: Any, name: str = name, leaf: bool = leaf) -> None:
            given = args[0] if args else kwargs.get("input")
            while begun[-1][0] != name:  # calls that ended in an error that the model caught
                begun.pop()
            _, read = begun.pop()
            calls.append(_Call(name, leaf, module, _tensor(given), _tensor(output), read, _value(output)))

        handles.append(module.register_forward_pre_hook(begin, with_kwargs=True))
        handles.append(module.register_forward_hook(end, with_kwargs=True))
    modes = [(module, module.training) for module in model.modules()]
    try:
        model.eval()
        with torch.no_grad():
            run(model)
    finally:
        for handle in handles:
            handle.remove()
        for module, mode in modes:
            module.training = mode
    return calls


def _tensor(value: Any) -> Tensor | None:
    return value if isinstance(value, torch.Tensor) else None


def _value(value: Any) -> _Value | None:
    return (id(value), tensor_version(value)) if isinstance(value, torch.Tensor) else None


def _producer(before: list[_Call], times: Mapping[str, int], value: _Value) -> str | None:
    """The innermost module that made a value; what only hands it on (identities, dropout) is passed over.

    A module with others inside counts only where nobody read the value before it returned.
    """
    passing = (torch.nn.Identity, torch.nn.Dropout, torch.nn.Dropout1d, torch.nn.Dropout2d, torch.nn.Dropout3d)
    made = [c for c in before if c.made == value and times[c.name] == 1 and not isinstance(c.module, passing)]
    leaves = [c for c in made if c.leaf]
    if leaves:
        return leaves[-1].name  # the last: it may work in place
    if not made or any(c.read == value and not isinstance(c.module, passing) for c in before[: before.index(made[0])]):
        return None
    return made[0].name


def _chains(
    model: nn.Module,
    run: Callable[[nn.Module], Any],
    calls: list[_Call],
    times: Mapping[str, int],
    starts: Sequence[int],
) -> list[list[_Call]]:
    """The calls numbered `starts`, of convolutions, with the batch norm and the ReLU that alone follow each."""
    from torch.nn.modules.batchnorm import _BatchNorm

    chains = [[calls[index]] for index in starts]
    for kinds in ((_BatchNorm,), (torch.nn.ReLU, torch.nn.ReLU6)):
        found = [_follower(calls, chain[-1], kinds) if times[chain[-1].name] == 1 else None for chain in chains]
        links = {chain[-1].name: next.name for chain, next in zip(chains, found, strict=True) if next is not None}
        alone = sole_consumers(model, run, links)
        for chain, follower in zip(chains, found, strict=True):
            if follower is not None and chain[-1].name in alone:
                chain.append(follower)
    return chains


def _follower(calls: list[_Call], call: _Call, kinds: tuple[type, ...]) -> _Call | None:
    """The only module that reads what a call made, if it is of one of these kinds."""
    users = [c for c in calls if c.leaf and call.made is not None and c.read == call.made]
    return users[0] if len(users) == 1 and isinstance(users[0].module, kinds) else None
