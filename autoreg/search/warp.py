"""A target that models can learn: differences among good trials count, bad trials keep their order alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri
from scipy.stats import rankdata

from autoreg.search.front import Floats

REACH = 0.5
"""How far below the best value seen a prediction can go, as a share of the distance from the median to the best."""
LEAST = 0.02
"""Nothing lies closer to that end than this share of its distance from the median."""


class HalfRank:
    """Maps a quality to be minimized to scores of spread 1, median 0, and back; strictly rising.

    The better half is mapped by the logarithm of its distance from a point a little below the best
    value, so that improvements at the top are stretched and can go on; the worse half by the normal
    scores of its ranks, so that no failure, however bad, bends the model.

    Reference: after the half-rank and logarithmic warpers of Google Vizier (Song et al., "The Vizier Gaussian Process
    Bandit Algorithm", 2024, arXiv 2408.11527); the offset below the best value is our own.

    Example:
        >>> warp = HalfRank([0.1, 0.2, 0.3, 0.9])
        >>> warp.back(warp.forward([0.12, 0.5])).round(6).tolist()
        [0.12, 0.5]
    """

    def __init__(self, values: ArrayLike) -> None:
        numbers = np.asarray(values, dtype=float)
        best, self.middle = float(numbers.min()), float(np.median(numbers))
        gap = self.middle - best
        if gap <= 0:
            gap = float(np.mean(numbers) - self.middle) or max(abs(self.middle), 1.0) * 1e-3
        self.end = best - REACH * gap
        self.width = self.middle - self.end
        good = np.log(np.maximum(numbers[numbers <= self.middle] - self.end, LEAST * self.width) / self.width)
        self.spread = float(np.sqrt(np.mean(good**2))) or 1.0
        scores = ndtri((rankdata(numbers) - 0.5) / len(numbers))
        bad, first = np.unique(numbers[numbers > self.middle], return_index=True)
        ranked = scores[numbers > self.middle][first]
        keep = ranked > 0
        self.values: Floats = np.concatenate([[self.middle], bad[keep]])
        self.scores: Floats = np.concatenate([[0.0], ranked[keep]])

    def forward(self, values: ArrayLike) -> Floats:
        """Scores of `values`; small is good. Values worse than all seen take the outermost score."""
        y = np.asarray(values, dtype=float)
        low = np.log(np.maximum(np.minimum(y, self.middle) - self.end, LEAST * self.width) / self.width) / self.spread
        return np.asarray(np.where(y <= self.middle, low, np.interp(y, self.values, self.scores)))

    def back(self, scores: ArrayLike) -> Floats:
        """Values at `scores`; never worse than those seen, and better than the best by no more than `REACH` lets."""
        s = np.asarray(scores, dtype=float)
        low = self.end + self.width * np.maximum(np.exp(np.minimum(s, 0.0) * self.spread), LEAST)
        return np.asarray(np.where(s <= 0, low, np.interp(s, self.scores, self.values)))
