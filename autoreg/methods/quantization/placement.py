"""Where the values between layers are quantized, so that a runtime can carry out what lies between in integers.

A layer runs in integers when its input, its weight and, for a convolution, its output are on a grid. A tensor that
several consumers share (a residual stream) is quantized once, where it is produced, so that an addition sees the same
grid as the next layer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from autoreg.lazy import lazy_module
from autoreg.methods.state import weighted_layers

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
        tails: by convolution, the module (the layer itself, its batch norm or its ReLU) whose output is quantized.
    """

    producers: Mapping[str, str] = field(default_factory=dict)
    tails: Mapping[str, str] = field(default_factory=dict)


@dataclass
class _Call:
    """One finished call of a module; its tensors are kept alive, so that their ids stay unique."""

    name: str
    leaf: bool
    module: Any
    input: Tensor | None
    output: Tensor | None


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
    consumers: dict[int, set[int]] = {}
    for call in calls:
        if call.name in layers and call.input is not None:
            consumers.setdefault(id(call.input), set()).add(activation_bits.get(call.name, 32))
    producers: dict[str, str] = {}
    for index, call in enumerate(calls):
        bits = activation_bits.get(call.name, 32)
        if call.name not in layers or bits == 32 or call.input is None or consumers[id(call.input)] != {bits}:
            continue
        made = _producer([c for c in calls[:index] if times[c.name] == 1], call.input)
        if made is not None:
            producers[call.name] = made
    read = {id(call.input) for call in calls if call.name in layers and activation_bits.get(call.name, 32) < 32}
    tails: dict[str, str] = {}
    for index, call in enumerate(calls):
        low = max(weight_bits.get(call.name, 32), activation_bits.get(call.name, 32)) <= 8
        if call.name not in layers or not low or isinstance(call.module, torch.nn.Linear):
            continue
        chain = _chain(calls, index)
        if id(chain[-1].output) not in read:
            tails[call.name] = [one.name for one in chain if times[one.name] == 1][-1]
    return Placement(producers, tails)


def _watch(model: nn.Module, run: Callable[[nn.Module], Any]) -> list[_Call]:
    layers = dict(weighted_layers(model))
    calls: list[_Call] = []
    handles = []
    for name, module in model.named_modules():
        leaf = name in layers or not any(True for _ in module.children())

        def hook(module: Any, args: Any, kwargs: Any, output: Any, name: str = name, leaf: bool = leaf) -> None:
            given = args[0] if args else kwargs.get("input")
            calls.append(_Call(name, leaf, module, _tensor(given), _tensor(output)))

        handles.append(module.register_forward_hook(hook, with_kwargs=True))
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


def _producer(before: list[_Call], value: Tensor) -> str | None:
    """The innermost module that made a tensor; what only hands it on (identities, dropout) is passed over."""
    passing = (torch.nn.Identity, torch.nn.Dropout, torch.nn.Dropout1d, torch.nn.Dropout2d, torch.nn.Dropout3d)
    made = [c for c in before if c.output is value and not isinstance(c.module, passing)]
    leaves = [c for c in made if c.leaf]
    return (leaves[-1] if leaves else made[0]).name if made else None  # of leaves the last: it may work in place


def _chain(calls: list[_Call], index: int) -> list[_Call]:
    """Call number `index`, of a convolution, with the batch norm and the ReLU that alone follow it."""
    from torch.nn.modules.batchnorm import _BatchNorm

    chain = [calls[index]]
    for kinds in ((_BatchNorm,), (torch.nn.ReLU, torch.nn.ReLU6)):
        made = chain[-1].output
        users = [c for c in calls[index + 1 :] if c.leaf and made is not None and c.input is made]
        if users and isinstance(users[0].module, kinds) and (len(users) == 1 or users[0].output is made):
            chain.append(users[0])
    return chain
