"""Hooks that watch one forward pass: how often weights are applied, and which module does which work."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from autoreg.network.operations import FlopCounter


def applied_hook(name: str, applied: dict[str, int]) -> Callable[..., None]:
    """A forward hook, with keywords, that adds to `applied` how often a layer's weight was applied."""

    def hook(module: nn.Module, inputs: tuple[Any, ...], named: Mapping[str, Any], output: Any) -> None:
        if isinstance(module, _ConvTransposeNd):
            applied[name] += _first(inputs, named).numel() // module.in_channels
        elif isinstance(module, _ConvNd):
            applied[name] += output.numel() // module.out_channels
        else:
            applied[name] += output.numel() // output.shape[-1]

    return hook


def _first(inputs: tuple[Any, ...], named: Mapping[str, Any]) -> Any:
    """What a module of torch was called with, by place or as `input`."""
    return inputs[0] if inputs else named["input"]


def special_hooks(
    model: nn.Module, applied: dict[str, int], read: dict[str, int], formula: dict[str, int]
) -> list[Any]:
    """Hooks for modules that use weights without calling a layer, or kernels that no counter sees."""
    handles: list[Any] = []

    def attention(name: str) -> tuple[Callable[..., None], Callable[..., None]]:
        before: list[int] = []

        def begin(module: nn.Module, inputs: Any) -> None:
            before.append(applied[name])

        def end(module: nn.Module, inputs: Any, output: Any) -> None:
            if before.pop() == applied[name]:  # a subclass may call the layer as a layer
                times = output[0].numel() // output[0].shape[-1]
                applied[name] += times
                read[name] += times

        return begin, end

    def recurrent(name: str) -> Callable[..., None]:
        def hook(module: Any, inputs: tuple[Any, ...], named: Mapping[str, Any], output: Any) -> None:
            given = _first(inputs, named)
            data = given if isinstance(given, Tensor) else given.data  # packed sequences hold their steps in a row
            formula[name] = formula.get(name, 0) + data.numel() // data.shape[-1] * _recurrent_weights(module)

        return hook

    for name, module in model.named_modules():
        if isinstance(module, nn.MultiheadAttention):
            begin, end = attention(f"{name}.out_proj".lstrip("."))
            handles += [module.register_forward_pre_hook(begin), module.register_forward_hook(end)]
        elif isinstance(module, nn.RNNBase):
            handles.append(module.register_forward_hook(recurrent(name), with_kwargs=True))
    return handles


def _recurrent_weights(module: nn.RNNBase) -> int:
    """Weights that a recurrent layer applies at each step, by its sizes: its parameters may be parametrized."""
    gates = {"LSTM": 4, "GRU": 3}.get(module.mode, 1)
    directions = 2 if module.bidirectional else 1
    given_back = module.proj_size or module.hidden_size
    count = 0
    for layer in range(module.num_layers):
        inputs = given_back * directions if layer else module.input_size
        count += gates * module.hidden_size * (inputs + given_back) + module.proj_size * module.hidden_size
    return directions * count


def work_hooks(
    model: nn.Module, work: FlopCounter, own: dict[str, int], running: list[tuple[str, nn.Module]]
) -> list[Any]:
    """Hooks that write into `own` the FLOPs each module does itself, outside of the modules it calls.

    `running` holds the modules that are being called, innermost last.
    """
    stack: list[list[int]] = []  # FLOPs when a running module began, FLOPs of what it called

    def begin(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: Any) -> None:
            running.append((name, module))
            stack.append([work.flops, 0])

        return hook

    def end(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            running.pop()
            start, called = stack.pop()
            spent = work.flops - start
            own[name] = own.get(name, 0) + spent - called
            if stack:
                stack[-1][1] += spent

        return hook

    handles: list[Any] = []
    for name, module in model.named_modules():
        if isinstance(module, torch.jit.ScriptModule):
            continue  # takes no hooks; its work is that of its caller
        # First in and last out, so that what other hooks of the module do is the module's own.
        handles.append(module.register_forward_pre_hook(begin(name), prepend=True))
        handles.append(module.register_forward_hook(end(name), always_call=True))
    return handles
