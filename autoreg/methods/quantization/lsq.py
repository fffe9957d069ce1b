"""Learned step size quantization."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autoreg.lazy import lazy_module
from autoreg.methods.base import method
from autoreg.methods.quantization.rtn import Rtn
from autoreg.methods.quantization.uniform import UniformQuantizer, ValueRange
from autoreg.space.spec import Paper

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from autoreg.methods.functional import affine
else:
    torch = lazy_module("torch")
    affine = lazy_module("autoreg.methods.functional.affine")


def lsq_step(mean_magnitude: Tensor, positive: Tensor) -> Tensor:
    """LSQ's first step, 2·mean|v| / √Q_p.

    Args:
        mean_magnitude: mean of |v|, any shape.
        positive: Q_p, the highest integer above the zero point, broadcasts; at least 1 is taken.

    Returns:
        Positive; 1 where the mean is zero.
    """
    return affine.positive_scale(2 * mean_magnitude / positive.clamp_min(1).sqrt())


def lsq(values: Tensor, step: Tensor, zero_point: Tensor, low: int, high: int, gradient_scale: Tensor) -> Tensor:
    """Learned step size quantization: v̂ = round(clip(v / s, −Q_n, Q_p))·s with Q_n = z − low and Q_p = high − z.

    The gradient is the paper's (eq. 3 and 5): ∂v̂/∂v is 1 inside and 0 outside; ∂v̂/∂s is round(v/s) − v/s inside,
    −Q_n below and Q_p above, times `gradient_scale`.

    Args:
        values: any shape.
        step: s, positive, broadcasts to the values.
        zero_point: z, whole numbers, broadcasts; 0 in the paper.
        low: lowest integer.
        high: highest integer.
        gradient_scale: factor on the step's gradient, 1 / √(N·Q_p) in the paper.

    Reference:
        Esser et al., Learned Step Size Quantization, arXiv 1902.08153.
    """
    if not torch.is_grad_enabled():
        return affine.dequantize(affine.quantize(values, step, zero_point, low, high), step, zero_point)
    scaled = step * gradient_scale
    slow = step.detach() + (scaled - scaled.detach())  # the value of the step, its gradient scaled
    codes = torch.clamp(values / slow, low - zero_point, high - zero_point)
    return (torch.round(codes).detach() + (codes - codes.detach())) * slow


@method(
    "lsq",
    kind="quantizer",
    catalogue=[182],  # the nearest: builds on quantizers of this type
    trains=True,
    conflicts=[
        (
            "training.qat_epochs == 0",
            "lsq learns its steps in training: set training.qat_epochs to 1 or more, or use quantizer: rtn",
        )
    ],
    paper=Paper(
        "Learned Step Size Quantization",
        "Esser et al.",
        2019,
        arxiv="1902.08153",
        checked="gradients against finite differences of the surrogate and against equations 3 and 5",
    ),
)
class Lsq(UniformQuantizer):
    """Quantization-aware training in which the step of every grid is learned with the weights.

    The first step is 2·mean|w| / √Q_p over the weights that the mask leaves. Without a symmetric grid, an integer
    zero point is fixed when the quantizer is attached and Q_n, Q_p count from there; so it is for inputs, where the
    paper's unsigned code is the case of inputs that are never negative.
    """

    def codes(self, bits: int, *, symmetric: bool, weights: bool) -> tuple[int, int]:
        """As the paper's: a symmetric grid has one integer more below zero than above."""
        return affine.integer_range(bits, symmetric=symmetric, full=True)

    def grid(self, values: ValueRange, bits: int, *, symmetric: bool, weights: bool) -> tuple[Tensor, Tensor]:
        """The paper's first step, and the zero point that the range of the values asks for."""
        _, zero_point = super().grid(values, bits, symmetric=symmetric, weights=weights)
        _, high = self.codes(bits, symmetric=symmetric, weights=weights)
        return lsq_step(values.mean_magnitude.to(zero_point), high - zero_point), zero_point

    def round(
        self, values: Tensor, scale: Tensor, zero_point: Tensor, codes: tuple[int, int], per_scale: float
    ) -> Tensor:
        """The values on their grid; the step's gradient is scaled by 1 / √(N·Q_p), with at least 1 for Q_p."""
        low, high = codes
        gradient_scale = 1.0 / (per_scale * (high - zero_point).clamp_min(1.0)).sqrt()
        return lsq(values, scale, zero_point, low, high, gradient_scale)

    def untrained(self) -> UniformQuantizer:
        """Steps that were never trained are no better than the first guess: round to the range of the values."""
        return Rtn()
