"""A target that models can learn: differences among good trials count, bad trials keep their order alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri
from scipy.stats import rankdata

from autoreg.engine.pareto.front import Floats


class HalfRank:
    """Maps a quality to be minimized to scores, 0 at the median, and back; strictly rising.

    The better half is mapped linearly, so that its mean square is 1 and improvements keep their size; the
    worse half by the normal scores of its ranks, so that no failure, however bad, bends the model.

    Reference: the half-rank warper of Google Vizier (Song et al., "The Vizier Gaussian Process Bandit Algorithm", 2024,
    arXiv 2408.11527), whose good half is linear too; its logarithmic warper, which comes after, is left out: on HPOLib
    it held back the search (`benchmarks/results/README.md`).

    Example:
        >>> warp = HalfRank([0.1, 0.2, 0.3, 0.9])
        >>> warp.inverse(warp.forward([0.02, 0.12, 0.5])).round(6).tolist()
        [0.02, 0.12, 0.5]
    """

    def __init__(self, values: ArrayLike) -> None:
        numbers = np.asarray(values, dtype=float)
        self.middle = float(np.median(numbers))
        better = numbers[numbers <= self.middle]
        gap = float(np.sqrt(np.mean((better - self.middle) ** 2)))
        self.unit = gap or float(np.mean(numbers) - self.middle) or max(abs(self.middle), 1.0) * 1e-3
        scores = ndtri((rankdata(numbers) - 0.5) / len(numbers))
        worse, first = np.unique(numbers[numbers > self.middle], return_index=True)
        ranked = scores[numbers > self.middle][first]
        keep = ranked > 0
        self.values: Floats = np.concatenate([[self.middle], worse[keep]])
        self.scores: Floats = np.concatenate([[0.0], ranked[keep]])

    def forward(self, values: ArrayLike) -> Floats:
        """Scores of `values`; small is good. Values worse than all seen take the outermost score."""
        y = np.asarray(values, dtype=float)
        good = (y - self.middle) / self.unit
        return np.asarray(np.where(y <= self.middle, good, np.interp(y, self.values, self.scores)))

    def inverse(self, scores: ArrayLike) -> Floats:
        """Values at `scores`; never worse than those seen."""
        s = np.asarray(scores, dtype=float)
        return np.asarray(np.where(s <= 0, self.middle + s * self.unit, np.interp(s, self.scores, self.values)))
