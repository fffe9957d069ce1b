"""One forward pass, watched: which layers are applied how often, and what work has no layer."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.nn.modules.instancenorm import _InstanceNorm
from torch.nn.utils.parametrize import type_before_parametrizations
from torch.utils._pytree import tree_leaves

WEIGHTED = (_ConvNd, nn.Linear)
KNOWN = (
    _BatchNorm,
    _InstanceNorm,
    nn.LayerNorm,
    nn.GroupNorm,
    nn.RMSNorm,
    nn.PReLU,
    nn.Embedding,
    nn.EmbeddingBag,
    nn.RNNBase,
    nn.MultiheadAttention,
)


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
    counter = FlopCounterMode(display=False)
    handles = [
        *[layer.register_forward_hook(_applied(name, applied)) for name, layer in layers.items()],
        *_special_hooks(model, applied, formula),
        *_ledger(model, counter.get_total_flops, own),
    ]
    fast_path = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # it hides the layers inside from hooks and counters
    try:
        # The mathematical kernel shows its two matrix products to the counter; fused CPU kernels do not.
        with hooked(handles), evaluating(model), torch.no_grad(), sdpa_kernel(SDPBackend.MATH), counter:
            call(model, example_input)
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_path)
    functional = _functional(model, own, {name: _numel(layer) * applied[name] for name, layer in layers.items()}, formula)
    notes = [f"layer {name!r} is never called" for name, times in applied.items() if times == 0]
    notes += _uncounted(model, functional)
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


def _ledger(model: nn.Module, flops: Callable[[], int], own: dict[str, int]) -> list[Any]:
    """Hooks that write into `own` the FLOPs each module does itself, outside of the modules it calls."""
    stack: list[list[int]] = []  # FLOPs when a running module began, FLOPs of what it called

    def begin(module: nn.Module, inputs: Any) -> None:
        stack.append([flops(), 0])

    def end(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            start, called = stack.pop()
            spent = flops() - start
            own[name] = own.get(name, 0) + spent - called
            if stack:
                stack[-1][1] += spent

        return hook

    handles: list[Any] = []
    for name, module in model.named_modules():
        handles += [module.register_forward_pre_hook(begin), module.register_forward_hook(end(name))]
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


def _uncounted(model: nn.Module, functional: Mapping[str, int]) -> list[str]:
    """Name the modules whose work or weights no rule here covers."""
    notes = []
    for name, module in model.named_modules():
        if isinstance(module, nn.MultiheadAttention) and module.in_proj_weight is not None:
            notes.append(f"{name!r} ({type_name(module)}): its input projection is work and size but no layer")
        matrices = [p for p in module.parameters(recurse=False) if p.dim() > 1]
        if matrices and not isinstance(module, (*WEIGHTED, *KNOWN)) and not functional.get(name):
            notes.append(f"{name or 'model'!r} ({type_name(module)}): no rule for the work of its own parameters")
    return notes
