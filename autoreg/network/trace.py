"""One forward pass, watched: which layers are applied how often, and what work has no layer."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd
from torch.nn.utils.parametrize import is_parametrized, type_before_parametrizations

from autoreg.network.hooks import applied_hook, special_hooks, work_hooks
from autoreg.network.inputs import batch_size, call
from autoreg.network.operations import FlopCounter, is_attached

WEIGHTED = (_ConvNd, nn.Linear)


@dataclass(frozen=True)
class Trace:
    """What a forward pass showed, per sample.

    `positions` counts by layer how often its weight is applied, `functional` the MACs without a layer by module.
    `uncalled` names the layers that were never called: at most other code reads their weight.
    """

    positions: Mapping[str, int]
    functional: Mapping[str, int]
    warnings: tuple[str, ...]
    uncalled: frozenset[str] = frozenset()


def weighted_layers(model: nn.Module) -> dict[str, nn.Module]:
    """The convolutions and linear layers by name, in `named_modules` order."""
    return {name: module for name, module in model.named_modules() if isinstance(module, WEIGHTED)}


def type_name(module: nn.Module) -> str:
    """Name of a module's class, parametrized or not."""
    return str(type_before_parametrizations(module).__name__)


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
    """Run `model` once on `example_input` in evaluation mode and count its work per sample.

    What is compiled runs eagerly meanwhile. Work that does not divide by the samples (layers applied once for a whole
    batch) is rounded up.
    """
    from torch.nn.attention import SDPBackend, sdpa_kernel

    layers = weighted_layers(model)
    batch = batch_size(example_input)
    applied = dict.fromkeys(layers, 0)  # positions
    read = dict.fromkeys(layers, 0)  # those among them where other code than the layer reads its weight
    formula: dict[str, int] = {}
    own: dict[str, int] = {}
    uncalled = set(layers)
    running: list[tuple[str, nn.Module]] = []
    work = FlopCounter(running)
    handles = [
        *[layer.register_forward_hook(_called_hook(name, uncalled)) for name, layer in layers.items()],
        *[layer.register_forward_hook(applied_hook(name, applied), with_kwargs=True) for name, layer in layers.items()],
        *special_hooks(model, applied, read, formula),
        *work_hooks(model, work, own, running),
    ]
    fast_path = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # it hides the layers inside from hooks and counters
    try:
        # The mathematical kernel shows its two matrix products to the counter; fused CPU kernels do not.
        with hooked(handles), evaluating(model), torch.no_grad(), _eagerly(), sdpa_kernel(SDPBackend.MATH), work:
            call(model, example_input)
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_path)
    functional, notes = _functional(model, own, applied, read, formula)
    return Trace(
        positions={name: -(-times // batch) for name, times in applied.items()},
        functional={name: -(-macs // batch) for name, macs in functional.items()},
        warnings=(*notes, *_uneven(applied, batch), *work.notes),
        uncalled=frozenset(uncalled),
    )


def _called_hook(name: str, uncalled: set[str]) -> Callable[..., None]:
    def hook(module: nn.Module, inputs: Any, output: Any) -> None:
        uncalled.discard(name)

    return hook


@contextmanager
def _eagerly() -> Iterator[None]:
    """Run compiled modules as they were written: hooks and counters do not see inside of compiled ones."""
    if "torch._dynamo" not in sys.modules:  # then nothing is compiled, and importing it takes seconds
        yield
        return
    with torch.compiler.set_stance("force_eager"):
        yield


def warn(notes: tuple[str, ...]) -> None:
    """Show `notes` as one warning."""
    if notes:
        warnings.warn("costs: not everything can be counted: " + "; ".join(notes), stacklevel=3)


def has_plain_weight(layer: nn.Module) -> bool:
    """Whether a layer's weight is its own parameter, or computed by a parametrization that can be baked.

    The older `weight_norm` and `spectral_norm` of torch put their own parameters in its place.
    """
    return "weight" in layer._parameters or is_parametrized(layer, "weight")


def _of_torch(layer: nn.Module) -> bool:
    """Whether a layer does nothing but what torch's own class does."""
    return type_before_parametrizations(layer).__module__.startswith("torch.nn.") and has_plain_weight(layer)


def _numel(layer: nn.Module) -> int:
    weight = layer.weight
    assert isinstance(weight, Tensor)
    return weight.numel()


def _never_called(name: str) -> str:
    return f"layer {name!r} is never called (where other code reads its weight, the work is counted there, in fp32)"


def _uneven(applied: Mapping[str, int], batch: int) -> list[str]:
    return [
        f"layer {name!r} is applied {times} times for {batch} samples, rounded up for one"
        for name, times in applied.items()
        if times % batch
    ]


def _functional(
    model: nn.Module,
    own: Mapping[str, int],
    applied: dict[str, int],
    read: Mapping[str, int],
    formula: Mapping[str, int],
) -> tuple[dict[str, int], list[str]]:
    """MACs of the whole batch that no weighted layer does, by module; and what does not add up."""
    found: dict[str, int] = {}
    notes: list[str] = []
    scripted: list[str] = []
    for name, module in model.named_modules():
        if is_attached(name):
            continue
        if isinstance(module, torch.jit.ScriptModule) and not any(name.startswith(f"{one}.") for one in scripted):
            scripted.append(name)
            notes.append(f"{name or 'model'!r} is TorchScript: its layers are counted as work without layers, in fp32")
        macs = own.get(name, 0) // 2
        if isinstance(module, WEIGHTED):
            if applied[name] == 0:
                notes.append(_never_called(name))
            numel = _numel(module)
            if _of_torch(module) and numel and macs % numel == 0:
                applied[name] = max(applied[name], macs // numel + read[name])  # `vmap` hides samples from hooks
            expected = numel * (applied[name] - read[name])
            if macs < expected:
                notes.append(
                    f"layer {name!r} ({type_name(module)}) is counted as {expected:,} multiply-accumulates by the size "
                    f"of its weight, its kernels showed {macs:,}"
                )
            macs = macs - expected if has_plain_weight(module) else 0
        elif isinstance(module, nn.MultiheadAttention):
            layer = f"{name}.out_proj".lstrip(".")
            macs -= read[layer] * _numel(module.out_proj)
        found[name] = formula.get(name, macs)
    return {name: macs for name, macs in found.items() if macs > 0}, notes
