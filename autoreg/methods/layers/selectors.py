"""What selectors of trained parameters share, and how one is asked.

A selector has `needs` (`gradients`, or nothing) and `select(model, gradients) -> names of the parameters to train`,
where `gradients` returns, when called, one mapping {parameter name: gradient} per calibration sample. Names are those
of the model as it is handed over; select on the plain network, before anything is parametrized.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from autoreg.errors import InputError
from autoreg.lazy import lazy_module
from autoreg.methods.sparsity.criteria.stats import Forward, Loss, parameter_gradients, samples
from autoreg.methods.weights import weighted_layers

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn
else:
    torch = lazy_module("torch")
    nn = lazy_module("torch.nn")

Gradients = Callable[[], Iterable[Mapping[str, "Tensor"]]]


def select_parameters(
    selector: Any, model: nn.Module, batches: Iterable[Any], forward: Forward, loss: Loss, limit: int = 64
) -> set[str]:
    """Ask a selector which parameters to train.

    Args:
        selector: a method of kind `train`.
        model: left as it was.
        batches: calibration batches; looked at only by a selector that needs gradients.
        forward: called with model and batch.
        loss: called with output and batch, returns the mean loss.
        limit: at most so many samples are looked at.

    Returns:
        Names of parameters of the model.
    """

    def gradients() -> Iterable[Mapping[str, Tensor]]:
        modes = [(module, module.training) for module in model.modules()]
        model.eval()
        try:
            left = limit
            for batch in batches:
                for sample in samples(batch)[:left]:
                    left -= 1
                    yield parameter_gradients(model, sample, forward, loss)
                if left <= 0:
                    break
        finally:
            for module, mode in modes:
                module.training = mode

    chosen: set[str] = selector.select(model, gradients)
    return chosen


def fisher_scores(gradients: Iterable[Mapping[str, Tensor]]) -> dict[str, float]:
    """Diagonal of the empirical Fisher information, (1/n) Σ_samples g², summed over each parameter's elements.

    Args:
        gradients: of the loss, one mapping {parameter name: gradient} per sample.

    Raises:
        InputError: if there are none.

    Example:
        >>> import torch
        >>> fisher_scores([{"w": torch.tensor([1.0, 2.0])}, {"w": torch.tensor([3.0, 0.0])}])
        {'w': 7.0}
    """
    total: dict[str, float] = {}
    count = 0
    for sample in gradients:
        count += 1
        for name, gradient in sample.items():
            total[name] = total.get(name, 0.0) + float(gradient.double().square().sum())
    if count == 0:
        raise InputError("fisher: no calibration samples; at least one is needed")
    return {name: value / count for name, value in total.items()}


def own_parameters(name: str, module: nn.Module) -> list[str]:
    """Names of the parameters that a module holds itself."""
    return [f"{name}.{p}" if name else p for p, _ in module.named_parameters(recurse=False)]


def layer_parameters(name: str, module: nn.Module) -> list[str]:
    """Names of all parameters in a module, those of its parametrizations included."""
    return [f"{name}.{p}" if name else p for p, _ in module.named_parameters()]


def head_parameters(model: nn.Module) -> set[str]:
    """Names of the parameters of the last weighted layer, the model's head.

    Raises:
        InputError: if the model has no weighted layer.
    """
    layers = weighted_layers(model)
    if not layers:
        raise InputError("the model has no linear layer or convolution to train")
    return set(layer_parameters(*layers[-1]))


def is_norm(module: nn.Module) -> bool:
    """Whether a module normalizes: torch's own kinds, or a class with `norm` in its name that holds parameters."""
    from torch.nn.modules.batchnorm import _NormBase

    if isinstance(module, _NormBase | nn.LayerNorm | nn.GroupNorm):
        return True
    has_own = any(True for _ in module.parameters(recurse=False))
    return has_own and "norm" in type(module).__name__.lower()
