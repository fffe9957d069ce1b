"""Uniform quantization as pure functions of tensors."""

from __future__ import annotations

import torch
from torch import Tensor

from autoreg.errors import InputError


def integer_range(bits: int, *, symmetric: bool, full: bool = False) -> tuple[int, int]:
    """Lowest and highest integer of a code.

    Args:
        bits: 2 to 8.
        symmetric: signed around zero, else unsigned with a zero point.
        full: with `symmetric`, use the lowest integer too, which has no positive counterpart.

    Example:
        >>> integer_range(8, symmetric=True), integer_range(8, symmetric=True, full=True)
        ((-127, 127), (-128, 127))
        >>> integer_range(4, symmetric=False)
        (0, 15)
    """
    if isinstance(bits, bool) or not isinstance(bits, int) or not 2 <= bits <= 8:
        raise InputError(f"bits = {bits!r}; allowed: 2 to 8 (32 is not quantized)")
    if not symmetric:
        return 0, 2**bits - 1
    half = 2 ** (bits - 1)
    return (-half if full else -half + 1), half - 1


def range_parameters(low: Tensor, high: Tensor, bits: int, *, symmetric: bool) -> tuple[Tensor, Tensor]:
    """Scale and zero point that cover [low, high] and hold zero exactly.

    Args:
        low: smallest values, any shape.
        high: largest values, same shape.
        bits: 2 to 8.
        symmetric: zero point 0.

    Returns:
        Scale (positive; 1 where there is nothing but zeros) and zero point (a whole number, as float), shaped alike.
    """
    qmin, qmax = integer_range(bits, symmetric=symmetric)
    if symmetric:
        scale = torch.maximum(low.abs(), high.abs()) / qmax
        return _positive(scale), torch.zeros_like(scale)
    low, high = low.clamp_max(0.0), high.clamp_min(0.0)
    scale = _positive((high - low) / (qmax - qmin))
    return scale, torch.round(-low / scale).clamp(qmin, qmax)


def _positive(scale: Tensor) -> Tensor:
    usable = scale > torch.finfo(scale.dtype).tiny
    return torch.where(usable, scale, torch.ones_like(scale))


def quantize(values: Tensor, scale: Tensor, zero_point: Tensor, low: int, high: int) -> Tensor:
    """Integers (as floats) of values: clamp(round(v / scale) + zero point, low, high); rounds half to even.

    Args:
        values: any shape.
        scale: positive, broadcasts to the values.
        zero_point: whole numbers, broadcasts to the values.
        low: lowest integer.
        high: highest integer.
    """
    return torch.clamp(torch.round(values / scale) + zero_point, low, high)


def dequantize(integers: Tensor, scale: Tensor, zero_point: Tensor) -> Tensor:
    """Values of integers: (q − zero point)·scale."""
    return (integers - zero_point) * scale


def fake_quantize(values: Tensor, scale: Tensor, zero_point: Tensor, low: int, high: int) -> Tensor:
    """Quantize and dequantize; the gradient passes straight through what is not clamped."""
    rounded = dequantize(quantize(values, scale, zero_point, low, high), scale, zero_point)
    if not (torch.is_grad_enabled() and values.requires_grad):
        return rounded
    inside = torch.clamp(values, (low - zero_point) * scale, (high - zero_point) * scale)
    return rounded.detach() + (inside - inside.detach())  # in this order the value is exactly the rounded one


def lsq_step(mean_size: Tensor, positive: Tensor) -> Tensor:
    """LSQ's first step, 2·mean|v| / √Q_p.

    Args:
        mean_size: mean of |v|, any shape.
        positive: Q_p, the highest integer above the zero point, broadcasts; at least 1 is taken.

    Returns:
        Positive; 1 where the mean is zero.
    """
    return _positive(2 * mean_size / positive.clamp_min(1).sqrt())


def mean_nonzero(values: Tensor, dims: tuple[int, ...]) -> Tensor:
    """Mean of |v| over what is not zero: a masked weight's zeros say nothing of its size.

    Args:
        values: any shape.
        dims: dimensions of the mean, at least one.

    Returns:
        The remaining dimensions; 0 where all is zero.
    """
    size = values.abs()
    return size.sum(dims) / (size > 0).sum(dims).clamp_min(1)


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
        return dequantize(quantize(values, step, zero_point, low, high), step, zero_point)
    scaled = step * gradient_scale
    slow = step.detach() + (scaled - scaled.detach())  # the value of the step, its gradient scaled
    codes = torch.clamp(values / slow, low - zero_point, high - zero_point)
    return (torch.round(codes).detach() + (codes - codes.detach())) * slow
