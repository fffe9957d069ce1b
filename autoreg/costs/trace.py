"""One forward pass, watched: which layers are applied how often, and what work has no layer."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.nn.utils.parametrize import type_before_parametrizations
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

WEIGHTED = (_ConvNd, nn.Linear)


@dataclass(frozen=True)
class Trace:
    """What a forward pass showed, per sample.

    `positions` counts by layer how often its weight is applied, `functional` the MACs without a layer by module.
    """

    positions: Mapping[str, int]
    functional: Mapping[str, int]
    warnings: tuple[str, ...]


def weighted_layers(model: nn.Module) -> dict[str, nn.Module]:
    """The convolutions and linear layers by name, in `named_modules` order."""
    return {name: module for name, module in model.named_modules() if isinstance(module, WEIGHTED)}


def type_name(module: nn.Module) -> str:
    """Name of a module's class, parametrized or not."""
    return str(type_before_parametrizations(module).__name__)


def call(model: nn.Module, example_input: Any) -> Any:
    """Call `model` on a tensor, on a tuple or list of positional or a mapping of keyword arguments."""
    if isinstance(example_input, Mapping):
        return model(**example_input)
    if isinstance(example_input, tuple | list):
        return model(*example_input)
    return model(example_input)


def tensors(value: Any) -> list[Tensor]:
    """All tensors in a nested structure, in a fixed order."""
    return [leaf for leaf in tree_leaves(value) if isinstance(leaf, Tensor)]


def batch_size(example_input: Any) -> int:
    """Samples in an example input: the first dimension of its first tensor with one."""
    return next((int(tensor.shape[0]) for tensor in tensors(example_input) if tensor.dim() > 0), 1)


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put `model` into evaluation mode and each module back into its own mode afterwards."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode


@contextmanager
def hooked(handles: list[Any]) -> Iterator[None]:
    """Remove the hooks `handles` at the end."""
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def trace(model: nn.Module, example_input: Any) -> Trace:
    """Run `model` once on `example_input` in evaluation mode and count its work per sample."""
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    layers = weighted_layers(model)
    batch = batch_size(example_input)
    applied = dict.fromkeys(layers, 0)
    formula: dict[str, int] = {}
    own: dict[str, int] = {}
    running: list[tuple[str, nn.Module]] = []
    counter = FlopCounterMode(display=False)
    handles = [
        *[layer.register_forward_hook(_applied(name, applied)) for name, layer in layers.items()],
        *_special_hooks(model, applied, formula),
        *_ledger(model, counter.get_total_flops, own, running),
    ]
    unknown = _Unknown(running)
    fast_path = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # it hides the layers inside from hooks and counters
    try:
        # The mathematical kernel shows its two matrix products to the counter; fused CPU kernels do not.
        with hooked(handles), evaluating(model), torch.no_grad(), sdpa_kernel(SDPBackend.MATH), counter, unknown:
            call(model, example_input)
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_path)
    functional = _functional(
        model, own, {name: _numel(layer) * applied[name] for name, layer in layers.items()}, formula
    )
    notes = [f"layer {name!r} is never called" for name, times in applied.items() if times == 0]
    notes += unknown.notes
    return Trace(
        positions={name: times // batch for name, times in applied.items()},
        functional={name: macs // batch for name, macs in functional.items() if macs >= batch},
        warnings=tuple(notes),
    )


def warn(notes: tuple[str, ...]) -> None:
    """Show `notes` as one warning."""
    if notes:
        warnings.warn("costs: not everything can be counted: " + "; ".join(notes), stacklevel=3)


def _numel(layer: nn.Module) -> int:
    weight = layer.weight
    assert isinstance(weight, Tensor)
    return weight.numel()


def _applied(name: str, applied: dict[str, int]) -> Callable[..., None]:
    def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        if isinstance(module, _ConvTransposeNd):
            applied[name] += inputs[0].numel() // module.in_channels
        elif isinstance(module, _ConvNd):
            applied[name] += output.numel() // module.out_channels
        else:
            applied[name] += output.numel() // output.shape[-1]

    return hook


def _special_hooks(model: nn.Module, applied: dict[str, int], formula: dict[str, int]) -> list[Any]:
    """Hooks for modules that use weights without calling a layer, or kernels that no counter sees."""
    handles = []

    def attention(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Any) -> None:
            applied[f"{name}.out_proj"] += output[0].numel() // output[0].shape[-1]

        return hook

    def recurrent(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            data = inputs[0].data if not isinstance(inputs[0], Tensor) else inputs[0]
            steps = data.numel() // data.shape[-1]
            matrices = sum(p.numel() for part, p in module.named_parameters() if part.startswith("weight"))
            formula[name] = formula.get(name, 0) + steps * matrices

        return hook

    for name, module in model.named_modules():
        if isinstance(module, nn.MultiheadAttention):
            handles.append(module.register_forward_hook(attention(name)))
        elif isinstance(module, nn.RNNBase):
            handles.append(module.register_forward_hook(recurrent(name)))
    return handles


def _ledger(
    model: nn.Module, flops: Callable[[], int], own: dict[str, int], running: list[tuple[str, nn.Module]]
) -> list[Any]:
    """Hooks that write into `own` the FLOPs each module does itself, outside of the modules it calls.

    `running` holds the modules that are being called, innermost last.
    """
    stack: list[list[int]] = []  # FLOPs when a running module began, FLOPs of what it called

    def begin(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: Any) -> None:
            running.append((name, module))
            stack.append([flops(), 0])

        return hook

    def end(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            running.pop()
            start, called = stack.pop()
            spent = flops() - start
            own[name] = own.get(name, 0) + spent - called
            if stack:
                stack[-1][1] += spent

        return hook

    handles: list[Any] = []
    for name, module in model.named_modules():
        handles += [module.register_forward_pre_hook(begin(name)), module.register_forward_hook(end(name))]
    return handles


def _functional(
    model: nn.Module, own: Mapping[str, int], layers: Mapping[str, int], formula: Mapping[str, int]
) -> dict[str, int]:
    """MACs of the whole batch that no weighted layer does, by module."""
    found: dict[str, int] = {}
    for name, module in model.named_modules():
        if isinstance(module, WEIGHTED):
            continue
        macs = own.get(name, 0) // 2
        if isinstance(module, nn.MultiheadAttention):
            macs -= layers[f"{name}.out_proj"]
        found[name] = formula.get(name, macs)
    return {name: macs for name, macs in found.items() if macs > 0}


class _Unknown(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes products of tensors that the FLOP counter has no formula for, by the module that does them."""

    def __init__(self, running: list[tuple[str, nn.Module]]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.running = running
        self.notes: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        namespace, _, operation = func.name().partition("::")
        operation = operation.partition(".")[0]
        known = namespace in ("aten", "prim", "prims") and not operation.startswith(_PRODUCTS)
        if not known and not any(isinstance(module, nn.RNNBase) for _, module in self.running):
            where = next((name for name, _ in reversed(self.running) if name), "model")
            note = f"operation {namespace}::{operation} in {where!r}"
            if note not in self.notes:
                self.notes.append(note)
        return func(*args, **(kwargs or {}))


# ATen operations that multiply and add along a dimension and are unknown to `torch.utils.flop_counter`.
_PRODUCTS = (
    "mv", "addmv", "dot", "vdot", "_trilinear", "_cdist", "_fft", "lstm", "gru", "rnn", "mkldnn_rnn", "_thnn_fused",
    "_flash_attention", "_sparse", "sparse", "mkldnn_linear", "quantized", "fbgemm", "_weight_int", "_int_mm",
)  # fmt: skip
