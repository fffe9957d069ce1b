"""Kurtosis of layer outputs: fewer outliers, easier to quantize."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from autoreg.lazy import lazy_module
from autoreg.methods.base import method
from autoreg.methods.state import State
from autoreg.space.spec import Paper, log

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = lazy_module("torch")


def kurtosis(values: Tensor, eps: float = 1e-12) -> Tensor:
    """Fourth central moment over the squared variance, a scalar: 3 for a Gaussian, 1.8 for a uniform distribution.

    Args:
        values: any shape; all elements are one sample.
        eps: added to the squared variance, so that constant values give 0.

    Example:
        >>> import torch
        >>> kurtosis(torch.tensor([-1.0, 1.0]))
        tensor(1.)
    """
    centred = values - values.mean()
    return centred.pow(4).mean() / (centred.square().mean().square() + eps)


@method(
    "activation_kurtosis",
    kind="regularizer",
    catalogue=[177],
    paper=Paper(
        "Mitigating the Impact of Outlier Channels for Language Model Quantization with Activation Regularization",
        "Nrusimha et al.",
        2024,
        arxiv="2404.03605",
        checked="kurtosis against closed forms; taken over all elements of an output, which the abstract leaves open",
    ),
)
class ActivationKurtosis:
    """Adds strength × mean over weighted layers of the kurtosis of the layer's output.

    The paper pairs it with quantization-aware training of the layers' inputs: combine it with `lsq`.
    """

    strength: float = log(1e-4, 1e-1, doc="factor on the mean kurtosis of the layers' outputs")

    def observe(self, state: State, name: str, module: Any, inputs: Any, output: Any) -> None:
        """Note the kurtosis of one layer's output."""
        if isinstance(output, torch.Tensor) and torch.is_grad_enabled():
            state.scratch.setdefault("activation_kurtosis", {})[name] = kurtosis(output)

    def loss(self, state: State) -> Tensor:
        """The term, over what was observed since the last call."""
        seen = state.scratch.pop("activation_kurtosis", {})
        if not seen:
            return torch.zeros(())
        return self.strength * torch.stack(list(seen.values())).mean()

    def finish(self, state: State) -> None:
        """Let go of the last observations."""
        state.scratch.pop("activation_kurtosis", None)
