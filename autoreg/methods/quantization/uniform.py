"""What quantizers on an even grid share: the range of the integers, the grid that covers it, and rounding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from autoreg.lazy import lazy_module

if TYPE_CHECKING:
    from torch import Tensor

    from autoreg.methods.functional import affine
else:
    affine = lazy_module("autoreg.methods.functional.affine")


@dataclass(frozen=True)
class ValueRange:
    """What a grid is made from: the values that a tensor holds, per scale.

    Attributes:
        low: smallest values, [scales].
        high: largest values, [scales].
        mean_magnitude: mean of |v|, over what is not zero where the values are a weight's; [scales].
    """

    low: Tensor
    high: Tensor
    mean_magnitude: Tensor


class UniformQuantizer:
    """Rounds to the nearest value of (q − zero point)·scale, q a whole number; the gradient passes straight through.

    A quantizer of another kind overrides what it does otherwise. One that trains (`trains=True`) has its scale as a
    parameter. Each instance is a rule: tensors that belong to a layer live in the modules that carry it out
    (`autoreg.methods.modules.quantizers`).
    """

    integers: ClassVar[bool] = True
    """Whether the rounded values are integers on an affine grid, which files can hold; else exports are refused."""

    def codes(self, bits: int, *, symmetric: bool, weights: bool) -> tuple[int, int]:
        """Lowest and highest integer.

        Args:
            bits: 2 to 8.
            symmetric: signed around zero, else unsigned with a zero point.
            weights: whether they stand for a weight, else for a layer's input.
        """
        return affine.integer_range(bits, symmetric=symmetric, full=symmetric and not weights)

    def grid(self, values: ValueRange, bits: int, *, symmetric: bool, weights: bool) -> tuple[Tensor, Tensor]:
        """Scale (positive) and zero point (a whole number, as float) of the first grid, shaped like `values.low`."""
        return affine.range_parameters(values.low, values.high, bits, symmetric=symmetric)

    def round(
        self, values: Tensor, scale: Tensor, zero_point: Tensor, codes: tuple[int, int], per_scale: float
    ) -> Tensor:
        """The values on their grid, with the gradient that training sees.

        Args:
            values: any shape.
            scale: positive, broadcasts to the values.
            zero_point: whole numbers, broadcasts to the values.
            codes: lowest and highest integer.
            per_scale: how many values share one scale.
        """
        return affine.fake_quantize(values, scale, zero_point, *codes)

    def untrained(self) -> UniformQuantizer:
        """What stands in where nothing trains it: this one, unless its scale has to be learned."""
        return self
