"""Statistics of layers on calibration batches, as criteria read them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from autoreg.errors import InputError
from autoreg.lazy import lazy_module
from autoreg.methods.weights import is_transposed, raw_weight, weighted_layers
from autoreg.network.weights import weight_of

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn
else:
    torch = lazy_module("torch")
    nn = lazy_module("torch.nn")

NEEDS = ("inputs", "gradients")

Forward = Callable[["nn.Module", Any], Any]
Loss = Callable[[Any, Any], "Tensor"]


@dataclass(frozen=True)
class Stats:
    """What calibration batches tell of one layer.

    Attributes:
        input_norm: ‖X_j‖₂ of every input that a weight multiplies, over all samples and positions; broadcasts to the
            weight: [in] of a linear layer, [in / groups, *kernel] of a convolution ([out, in / groups, *kernel] where
            it has groups), [in, 1, ...] of a transposed convolution. None unless `inputs` was asked for.
        gradient: mean over batches of |∂ mean loss / ∂w|, shaped like the weight. None unless `gradients` was.
    """

    input_norm: Tensor | None = None
    gradient: Tensor | None = None


def collect(
    model: nn.Module,
    batches: Iterable[Any],
    forward: Forward,
    loss: Loss | None = None,
    needs: Sequence[str] = NEEDS,
) -> dict[str, Stats]:
    """Run calibration batches through a model in evaluation mode and return statistics of its weighted layers.

    The model is left as it was: mode, gradients and `requires_grad`.

    Args:
        model: any module.
        batches: at least one.
        forward: called with model and batch, returns the output.
        loss: called with output and batch, returns the mean loss; asked for by `gradients` alone.
        needs: what to gather, of `NEEDS`.

    Returns:
        By layer name. Layers that no batch reached have input norms and gradients of zero.

    Raises:
        InputError: if there is no batch, or `needs` names something else.
    """
    unknown = set(needs) - set(NEEDS)
    if unknown:
        raise InputError(f"criterion needs {', '.join(sorted(unknown))}; allowed: {', '.join(NEEDS)}")
    layers = dict(weighted_layers(model))
    squares: dict[str, Tensor] = {}
    gradients: dict[str, Tensor] = {}
    count = 0
    modes = [(module, module.training) for module in model.modules()]
    with ExitStack() as stack:
        stack.callback(_restore, modes)
        model.eval()
        if "inputs" in needs:
            for name, module in layers.items():
                stack.callback(module.register_forward_hook(_adding(name, squares)).remove)
        for batch in batches:
            count += 1
            if "gradients" in needs:
                if loss is None:
                    raise InputError("gradients are needed, but no loss was given")
                for name, gradient in weight_gradients(model, batch, forward, loss).items():
                    gradients[name] = gradients[name] + gradient.abs() if name in gradients else gradient.abs()
            else:
                with torch.no_grad():
                    forward(model, batch)
    if count == 0:
        raise InputError("calibration: no batches; at least one is needed")
    return {name: _stats(name, module, squares, gradients, count, needs) for name, module in layers.items()}


def _restore(modes: list[tuple[nn.Module, bool]]) -> None:
    for module, mode in modes:
        module.training = mode


def _stats(
    name: str,
    module: nn.Module,
    squares: Mapping[str, Tensor],
    gradients: Mapping[str, Tensor],
    count: int,
    needs: Sequence[str],
) -> Stats:
    weight = weight_of(module).detach()
    norm = gradient = None
    if "inputs" in needs:
        norm = squares[name].sqrt().to(weight.dtype) if name in squares else torch.zeros_like(weight)
    if "gradients" in needs:
        gradient = gradients[name] / count if name in gradients else torch.zeros_like(weight)
    return Stats(norm, gradient)


def _adding(name: str, squares: dict[str, Tensor]) -> Callable[..., None]:
    def hook(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        with torch.no_grad():
            seen = input_squares(module, inputs[0].detach())
            squares[name] = squares[name] + seen if name in squares else seen

    return hook


def input_squares(module: nn.Module, inputs: Tensor) -> Tensor:
    """Sum of squares of every input that a weight multiplies, over samples and positions.

    Args:
        module: a weighted layer.
        inputs: its input, [..., in] of a linear layer, [N, in, *space] or [in, *space] of a convolution.

    Returns:
        float64, in the layout of `Stats.input_norm`.
    """
    squared = inputs.double().square()
    if isinstance(module, nn.Linear):
        return squared.reshape(-1, squared.shape[-1]).sum(0)
    space = len(module.kernel_size)  # type: ignore[arg-type]
    if squared.ndim == space + 2:
        squared = squared.sum(0)
    if is_transposed(module):  # every input meets every weight, but for the border that is cropped
        return squared.flatten(1).sum(1).reshape(-1, *(1,) * (space + 1))
    return _windowed(module, squared)


def _windowed(module: Any, squared: Tensor) -> Tensor:
    """Sum over output positions of what each kernel position sees: [in / groups, *kernel], with groups [out, ...]."""
    mode = "constant" if module.padding_mode == "zeros" else module.padding_mode
    padding = module._reversed_padding_repeated_twice
    if any(padding):
        squared = torch.nn.functional.pad(squared[None], padding, mode=mode)[0]
    for dim in range(len(module.kernel_size)):
        size, stride, spread = module.kernel_size[dim], module.stride[dim], module.dilation[dim]
        length = squared.shape[1]  # the next spatial dimension is always the second: done ones move to the end
        positions = (length - spread * (size - 1) - 1) // stride + 1
        parts = [
            squared[:, k * spread : k * spread + (positions - 1) * stride + 1 : stride].sum(1) for k in range(size)
        ]
        squared = torch.stack(parts, dim=-1)
    if module.groups == 1:
        return squared
    by_group = squared.reshape(module.groups, -1, *module.kernel_size)
    return by_group.repeat_interleave(module.out_channels // module.groups, dim=0)


def weight_gradients(model: nn.Module, batch: Any, forward: Forward, loss: Loss) -> dict[str, Tensor]:
    """Gradient of the mean loss of one batch for the weights of the weighted layers, by layer name.

    Weights beneath a mask have a gradient of zero where the mask removes them. Nothing is left in `.grad`.

    Args:
        model: in the mode that is wanted.
        batch: what `forward` and `loss` take.
        forward: called with model and batch.
        loss: called with output and batch.
    """
    weights = {name: raw_weight(module) for name, module in weighted_layers(model)}
    return dict(zip(weights, _gradients(list(weights.values()), model, batch, forward, loss), strict=True))


def parameter_gradients(model: nn.Module, batch: Any, forward: Forward, loss: Loss) -> dict[str, Tensor]:
    """As `weight_gradients`, for all parameters by their name."""
    params = dict(model.named_parameters())
    return dict(zip(params, _gradients(list(params.values()), model, batch, forward, loss), strict=True))


def _gradients(params: list[nn.Parameter], model: nn.Module, batch: Any, forward: Forward, loss: Loss) -> list[Tensor]:
    frozen = [p for p in params if not p.requires_grad]
    try:
        for param in frozen:
            param.requires_grad_(True)
        with torch.enable_grad():
            value = loss(forward(model, batch), batch)
        found = torch.autograd.grad(value, params, allow_unused=True)
    finally:
        for param in frozen:
            param.requires_grad_(False)
    return [torch.zeros_like(p) if g is None else g.detach() for p, g in zip(params, found, strict=True)]


def samples(batch: Any) -> list[Any]:
    """The samples of a batch as batches of one: tensors are split along their first dimension.

    Args:
        batch: a tensor, or a tuple, list or mapping of them; anything else in it is repeated.
    """
    size = _batch_size(batch)
    return [_pick(batch, i) for i in range(size)] if size else [batch]


def _batch_size(batch: Any) -> int:
    if isinstance(batch, torch.Tensor):
        return int(batch.shape[0]) if batch.ndim else 0
    entries = batch.values() if isinstance(batch, Mapping) else batch if isinstance(batch, tuple | list) else ()
    return next((size for entry in entries if (size := _batch_size(entry))), 0)


def _pick(batch: Any, index: int) -> Any:
    if isinstance(batch, torch.Tensor):
        return batch[index : index + 1] if batch.ndim else batch
    if isinstance(batch, Mapping):
        return {key: _pick(value, index) for key, value in batch.items()}
    if isinstance(batch, tuple | list):
        parts = [_pick(value, index) for value in batch]
        return type(batch)(*parts) if hasattr(batch, "_fields") else type(batch)(parts)
    return batch
