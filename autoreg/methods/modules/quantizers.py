"""Modules that fake-quantize: a parametrization for weights, and one that sits before a layer for its input."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from autoreg.errors import AutoregError
from autoreg.methods.functional.affine import (
    fake_quantize,
    integer_range,
    lsq,
    lsq_step,
    mean_nonzero,
    quantize,
    range_parameters,
)

_LEAST_STEP = 1e-8


class WeightQuantizer(nn.Module):
    """Fake-quantizes a weight with a fixed scale (min-max range) or a learned step (LSQ).

    Args:
        weight: what is quantized, after its mask; the range or first step is taken from it.
        bits: 2 to 8.
        axis: dimension of the outputs for one scale per output, None for one in all.
        symmetric: zero point 0, else an integer zero point that is fixed now.
        learned: the step is a parameter, trained with LSQ's gradient.
    """

    scale: Tensor
    zero_point: Tensor

    def __init__(self, weight: Tensor, bits: int, axis: int | None, *, symmetric: bool, learned: bool) -> None:
        super().__init__()
        weight = weight.detach()
        self.bits, self.axis, self.learned = bits, axis, learned
        self.low, self.high = integer_range(bits, symmetric=symmetric, full=learned)
        dims = tuple(d for d in range(weight.ndim) if d != axis)
        low, high = weight.amin(dims).reshape(-1), weight.amax(dims).reshape(-1)
        scale, zero_point = range_parameters(low, high, bits, symmetric=symmetric)
        if learned:
            scale = lsq_step(mean_nonzero(weight, dims).reshape(-1), self.high - zero_point)
            self.scale = nn.Parameter(scale)  # one dimension, so that an optimizer does not decay it like a weight
        else:
            self.register_buffer("scale", scale)
        self.register_buffer("zero_point", zero_point)

    def spread(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Scale and zero point, shaped to broadcast to the weight."""
        shape = [-1 if d == self.axis else 1 for d in range(weight.ndim)]
        scale = self.scale.clamp_min(_LEAST_STEP) if self.learned else self.scale
        return scale.reshape(shape), self.zero_point.reshape(shape)

    def forward(self, weight: Tensor) -> Tensor:
        """The weight on its grid."""
        scale, zero_point = self.spread(weight)
        if not self.learned:
            return fake_quantize(weight, scale, zero_point, self.low, self.high)
        share = weight.numel() / self.scale.numel()
        return lsq(weight, scale, zero_point, self.low, self.high, _gradient_scale(share, self.high - zero_point))

    def right_inverse(self, weight: Tensor) -> Tensor:
        """What to keep beneath when a weight is assigned: the weight itself."""
        return weight

    def integers(self, weight: Tensor) -> Tensor:
        """The weight's integers, [..., like the weight], int16."""
        scale, zero_point = self.spread(weight)
        return quantize(weight.detach(), scale.detach(), zero_point, self.low, self.high).to(torch.int16)


class ActivationQuantizer(nn.Module):
    """Fake-quantizes a layer's input, one scale per tensor; calibrated before use.

    Args:
        bits: 2 to 8.
        symmetric: zero point 0, else an integer zero point, fixed by the calibration.
        learned: the step is a parameter, trained with LSQ's gradient.
        device: where its numbers live.
    """

    scale: Tensor
    zero_point: Tensor
    calibrated: Tensor

    def __init__(self, bits: int, *, symmetric: bool, learned: bool, device: torch.device | None = None) -> None:
        super().__init__()
        self.bits, self.symmetric, self.learned = bits, symmetric, learned
        self.low, self.high = integer_range(bits, symmetric=symmetric, full=symmetric)
        scale = torch.ones(1, device=device)
        if learned:
            self.scale = nn.Parameter(scale)
        else:
            self.register_buffer("scale", scale)
        self.register_buffer("zero_point", torch.zeros(1, device=device))
        self.register_buffer("calibrated", torch.zeros((), dtype=torch.bool, device=device))
        self.observing = False
        self._seen: tuple[Tensor, Tensor, Tensor, int] | None = None

    def forward(self, values: Tensor) -> Tensor:
        """The input on its grid; as it is while calibrating.

        Raises:
            AutoregError: if it was never calibrated.
        """
        if self.observing:
            self._observe(values.detach())
            return values
        if not torch._C._get_tracing_state() and not bool(self.calibrated):
            raise AutoregError("an activation quantizer was never calibrated: call calibrate(model, batches, forward)")
        if not self.learned:
            return fake_quantize(values, self.scale, self.zero_point, self.low, self.high)
        share = values[0].numel() if values.ndim > 1 else values.numel()
        step = self.scale.clamp_min(_LEAST_STEP)
        factor = _gradient_scale(share, self.high - self.zero_point)
        return lsq(values, step, self.zero_point, self.low, self.high, factor)

    def grid(self) -> tuple[Tensor, Tensor]:
        """Scale and zero point, [1] each.

        Raises:
            AutoregError: if it was never calibrated.
        """
        if not bool(self.calibrated):
            raise AutoregError("an activation quantizer was never calibrated: call calibrate(model, batches, forward)")
        return (self.scale.clamp_min(_LEAST_STEP) if self.learned else self.scale), self.zero_point

    def _observe(self, values: Tensor) -> None:
        low, high, total = values.amin(), values.amax(), values.abs().double().sum()
        count = values.numel()
        if self._seen is not None:
            low, high = torch.minimum(low, self._seen[0]), torch.maximum(high, self._seen[1])
            total, count = total + self._seen[2], count + self._seen[3]
        self._seen = (low, high, total, count)

    def settle(self) -> bool:
        """End calibration: set scale and zero point from what was seen; False if nothing was."""
        self.observing = False
        seen, self._seen = self._seen, None
        if seen is None:
            return False
        low, high, total, count = seen
        scale, zero_point = range_parameters(low.reshape(1), high.reshape(1), self.bits, symmetric=self.symmetric)
        if self.learned:
            scale = lsq_step((total / count).reshape(1).to(scale), self.high - zero_point)
        with torch.no_grad():
            self.scale.copy_(scale)
            self.zero_point.copy_(zero_point)
            self.calibrated.fill_(True)
        return True


def _gradient_scale(count: float, positive: Tensor) -> Tensor:
    """1 / √(N·Q_p), with at least 1 for Q_p."""
    return 1.0 / (count * positive.clamp_min(1.0)).sqrt()
