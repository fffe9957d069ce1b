"""Sharpness-aware minimization."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from autoreg.lazy import lazy_module
from autoreg.methods.base import method
from autoreg.methods.state import State
from autoreg.space.spec import Paper, log

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = lazy_module("torch")


def ascent(gradients: list[Tensor], rho: float) -> list[Tensor] | None:
    """The step of length rho up the gradient: rho·g/‖g‖ over all tensors together.

    Args:
        gradients: tensors of any shapes.
        rho: length of the step.

    Returns:
        Tensors shaped like the gradients; None where the gradient is zero or not finite.
    """
    norm = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(g) for g in gradients]))
    if not bool(torch.isfinite(norm)) or float(norm) == 0.0:
        return None
    return [g * (rho / norm) for g in gradients]


@method(
    "sam",
    kind="regularizer",
    catalogue=[53, 54],  # 53 names SAM's step as a family member, 54 is its layer-scaled form
    passes=2,
    paper=Paper(
        "Sharpness-Aware Minimization for Efficiently Improving Generalization",
        "Foret et al.",
        2020,
        arxiv="2010.01412",
        checked="norm of the perturbation, exact restoring, gradient at the perturbed point of a quadratic",
    ),
)
class Sam:
    """Descends along the gradient taken at w + rho·g/‖g‖, so that flat minima are preferred; two gradients a step.

    Batch-norm statistics and other buffers keep what the first, unperturbed pass made of them.
    """

    rho: float = log(0.01, 0.5, default=0.05, doc="length of the ascent step, Euclidean over all trained weights")

    def gradient(self, state: State, closure: Callable[[], Tensor]) -> Tensor:
        """Leave the gradient of the perturbed weights on the unperturbed ones; return the unperturbed loss."""
        loss = closure()
        params = [p for p in state.model.parameters() if p.requires_grad and p.grad is not None]
        if not params:
            return loss
        steps = ascent([p.grad for p in params if p.grad is not None], self.rho)
        if steps is None:
            return loss
        weights = [p.detach().clone() for p in params]
        buffers = [(b, b.detach().clone()) for b in state.model.buffers()]
        with torch.no_grad():
            for param, step in zip(params, steps, strict=True):
                param.add_(step)
        try:
            closure()
        finally:
            with torch.no_grad():
                for param, weight in zip(params, weights, strict=True):
                    param.copy_(weight)
                for buffer, value in buffers:
                    buffer.copy_(value)
        return loss
