"""The target that surrogates are fitted to: differences among good trials count, bad trials keep their order alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from autoreg.engine.pareto.front import Floats
from autoreg.lazy import lazy_module

if TYPE_CHECKING:
    from scipy import special, stats
else:
    special, stats = lazy_module("scipy.special"), lazy_module("scipy.stats")


class HalfRank:
    """Maps a quality to be minimized to scores, 0 at the median, and back; strictly rising.

    The better half is mapped linearly, so that its mean square is 1 and improvements keep their size; the
    worse half by the normal scores of its ranks, so that no failure, however bad, bends the model.

    Args:
        values: Qualities that the map is fitted to [n >= 1], finite.

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
        self.median = float(np.median(numbers))
        better = numbers[numbers <= self.median]
        spread = float(np.sqrt(np.mean((better - self.median) ** 2)))
        # A better half of equal values has no spread: then the distance of the mean, at last a thousandth.
        self.unit = spread or float(np.mean(numbers) - self.median) or max(abs(self.median), 1.0) * 1e-3
        scores = special.ndtri((stats.rankdata(numbers) - 0.5) / len(numbers))
        worse, first = np.unique(numbers[numbers > self.median], return_index=True)
        ranked = scores[numbers > self.median][first]
        rising = ranked > 0  # ties at the median can leave a worse value with a score that is not above 0
        self.values: Floats = np.concatenate([[self.median], worse[rising]])
        self.scores: Floats = np.concatenate([[0.0], ranked[rising]])

    def forward(self, values: ArrayLike) -> Floats:
        """Scores of `values`; small is good. Values worse than all that were fitted take the outermost score."""
        y = np.asarray(values, dtype=float)
        good = (y - self.median) / self.unit
        return np.asarray(np.where(y <= self.median, good, np.interp(y, self.values, self.scores)))

    def inverse(self, scores: ArrayLike) -> Floats:
        """Values at `scores`; never worse than those that were fitted."""
        s = np.asarray(scores, dtype=float)
        return np.asarray(np.where(s <= 0, self.median + s * self.unit, np.interp(s, self.scores, self.values)))
