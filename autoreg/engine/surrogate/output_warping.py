"""The target that surrogates are fitted to: differences among good trials count, those among bad ones by magnitude."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from autoreg.engine.pareto.front import Floats

LARGEST_EXPONENT = 50.0
"""Beyond it `inverse` rises no further: e to this power of the unit is worse than anything."""


class HalfLog:
    """Maps a quality to be minimized to scores, 0 at the median, and back; strictly rising.

    The better half is mapped linearly, so that its mean square is 1 and improvements keep their size; the worse half by
    the logarithm of one and its distance in the same unit, scaled to a mean square of 1. So a failure, however bad,
    bends a model little, but how bad it is still counts: networks that fail because they are too small are told from
    those that are nearly good enough, and what is smaller yet is expected to be worse.

    Args:
        values: Qualities that the map is fitted to [n >= 1], finite.

    Reference: linear in the good half as the half-rank warper of Google Vizier (Song et al., "The Vizier Gaussian
    Process Bandit Algorithm", 2024, arXiv 2408.11527), and logarithmic as the warper that follows it there; here the
    worse half alone is. Ranks in the worse half lost the magnitudes (`benchmarks/results/README.md`).

    Example:
        >>> warp = HalfLog([0.1, 0.2, 0.3, 0.9])
        >>> warp.inverse(warp.forward([0.02, 0.12, 0.5])).round(6).tolist()
        [0.02, 0.12, 0.5]
    """

    def __init__(self, values: ArrayLike) -> None:
        numbers = np.asarray(values, dtype=float)
        self.median = float(np.median(numbers))
        better = numbers[numbers <= self.median]
        spread = float(np.sqrt(np.mean((better - self.median) ** 2)))
        # A better half of equal values has no spread: then the distance of the mean, at last a thousandth.
        self.unit = spread or float(np.mean(numbers) - self.median) or max(abs(self.median), 1.0) * 1e-3
        logs = np.log1p((numbers[numbers > self.median] - self.median) / self.unit)
        # without a worse half, or with one that is worse by less than a number can square, any unit will do
        self.worse_unit = float(np.sqrt(np.mean(logs**2))) if len(logs) else 0.0
        self.worse_unit = self.worse_unit or 1.0

    def forward(self, values: ArrayLike) -> Floats:
        """Scores of `values`; small is good."""
        distance = (np.asarray(values, dtype=float) - self.median) / self.unit
        return np.asarray(np.where(distance <= 0, distance, np.log1p(np.maximum(distance, 0.0)) / self.worse_unit))

    def inverse(self, scores: ArrayLike) -> Floats:
        """Values at `scores`."""
        s = np.asarray(scores, dtype=float)
        exponents = np.clip(s * self.worse_unit, 0.0, LARGEST_EXPONENT)
        return np.asarray(self.median + self.unit * np.where(s <= 0, s, np.expm1(exponents)))
