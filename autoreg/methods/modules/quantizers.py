"""Modules that fake-quantize: a parametrization for weights, and one that sits before a layer for its input."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from autoreg.errors import AutoregError, InputError
from autoreg.methods.discovery import spec_of
from autoreg.methods.functional.affine import mean_nonzero, quantize
from autoreg.methods.quantization.uniform import UniformQuantizer, ValueRange

_SMALLEST_STEP = 1e-8  # a learned step that training drives below zero stays a step


class WeightQuantizer(nn.Module):
    """Fake-quantizes a weight on the grid of a quantizer, fixed or learned.

    Args:
        weight: what is quantized, after its mask; the first grid is taken from it.
        bits: 2 to 8.
        axis: dimension of the outputs for one scale per output, None for one in all.
        symmetric: zero point 0, else an integer zero point that is fixed now.
        rule: the quantizer; where it trains, the scale is a parameter.
    """

    scale: Tensor
    zero_point: Tensor

    def __init__(self, weight: Tensor, bits: int, axis: int | None, *, symmetric: bool, rule: UniformQuantizer) -> None:
        super().__init__()
        weight = weight.detach()
        self.bits, self.axis, self.rule = bits, axis, rule
        self.low, self.high = rule.codes(bits, symmetric=symmetric, weights=True)
        dims = tuple(d for d in range(weight.ndim) if d != axis)
        parts = (weight.amin(dims), weight.amax(dims), mean_nonzero(weight, dims))
        held = ValueRange(*(part.reshape(-1) for part in parts))
        scale, zero_point = rule.grid(held, bits, symmetric=symmetric, weights=True)
        _hold_scale(self, scale)  # of one dimension, so that an optimizer does not decay it like a weight
        self.register_buffer("zero_point", zero_point)

    def grid(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Scale and zero point, shaped to broadcast to the weight."""
        shape = [-1 if d == self.axis else 1 for d in range(weight.ndim)]
        return _usable_scale(self).reshape(shape), self.zero_point.reshape(shape)

    def forward(self, weight: Tensor) -> Tensor:
        """The weight on its grid."""
        scale, zero_point = self.grid(weight)
        per_scale = weight.numel() / self.scale.numel()
        return self.rule.round(weight, scale, zero_point, (self.low, self.high), per_scale)

    def right_inverse(self, weight: Tensor) -> Tensor:
        """What is stored beneath when a weight is assigned: the weight itself."""
        return weight

    def integers(self, weight: Tensor) -> Tensor:
        """The weight's integers, [..., like the weight], int16.

        Raises:
            InputError: the quantizer's values are no integers on an affine grid.
        """
        if not self.rule.integers:
            raise InputError(
                f"quantizer {spec_of(self.rule).name!r} holds no integers, which no file can store; use another one"
            )
        scale, zero_point = self.grid(weight)
        return quantize(weight.detach(), scale.detach(), zero_point, self.low, self.high).to(torch.int16)


class ActivationQuantizer(nn.Module):
    """Fake-quantizes a layer's input, one scale per tensor; calibrated before use.

    Args:
        bits: 2 to 8.
        symmetric: zero point 0, else an integer zero point, fixed by the calibration.
        rule: the quantizer; where it trains, the scale is a parameter.
        device: where its numbers live.
    """

    scale: Tensor
    zero_point: Tensor
    calibrated: Tensor

    def __init__(
        self, bits: int, *, symmetric: bool, rule: UniformQuantizer, device: torch.device | None = None
    ) -> None:
        super().__init__()
        self.bits, self.symmetric, self.rule = bits, symmetric, rule
        self.low, self.high = rule.codes(bits, symmetric=symmetric, weights=False)
        _hold_scale(self, torch.ones(1, device=device))
        self.register_buffer("zero_point", torch.zeros(1, device=device))
        self.register_buffer("calibrated", torch.zeros((), dtype=torch.bool, device=device))
        self.observing = False
        self._observed: tuple[Tensor, Tensor, Tensor, int] | None = None

    def forward(self, values: Tensor) -> Tensor:
        """The input on its grid; as it is while calibrating.

        Raises:
            AutoregError: if it was never calibrated.
        """
        if self.observing:
            self._observe(values.detach())
            return values
        if not torch._C._get_tracing_state():
            self._check_calibrated()
        per_scale = values[0].numel() if values.ndim > 1 else values.numel()
        return self.rule.round(values, _usable_scale(self), self.zero_point, (self.low, self.high), per_scale)

    def grid(self) -> tuple[Tensor, Tensor]:
        """Scale and zero point, [1] each.

        Raises:
            AutoregError: if it was never calibrated.
        """
        self._check_calibrated()
        return _usable_scale(self), self.zero_point

    def _check_calibrated(self) -> None:
        if not bool(self.calibrated):
            raise AutoregError("an activation quantizer was never calibrated: call calibrate(model, batches, forward)")

    def _observe(self, values: Tensor) -> None:
        low, high, total = values.amin(), values.amax(), values.abs().double().sum()
        count = values.numel()
        if self._observed is not None:
            low, high = torch.minimum(low, self._observed[0]), torch.maximum(high, self._observed[1])
            total, count = total + self._observed[2], count + self._observed[3]
        self._observed = (low, high, total, count)

    def finish_calibration(self) -> bool:
        """Set scale and zero point from what was observed; False if nothing was."""
        self.observing = False
        observed, self._observed = self._observed, None
        if observed is None:
            return False
        low, high, total, count = observed
        held = ValueRange(low.reshape(1), high.reshape(1), (total / count).reshape(1))
        scale, zero_point = self.rule.grid(held, self.bits, symmetric=self.symmetric, weights=False)
        with torch.no_grad():
            self.scale.copy_(scale)
            self.zero_point.copy_(zero_point)
            self.calibrated.fill_(True)
        return True


def _hold_scale(module: WeightQuantizer | ActivationQuantizer, scale: Tensor) -> None:
    if spec_of(module.rule).trains:
        module.scale = nn.Parameter(scale)
    else:
        module.register_buffer("scale", scale)


def _usable_scale(module: WeightQuantizer | ActivationQuantizer) -> Tensor:
    return module.scale.clamp_min(_SMALLEST_STEP) if spec_of(module.rule).trains else module.scale
