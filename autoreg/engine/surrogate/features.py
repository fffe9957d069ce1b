"""Encoded configs as columns that linear models and kernels can take."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from autoreg.engine.pareto.front import Floats

UNIFORM_STD = 0.58
"""Standard deviation of a uniform number in [-1, 1] (1 / sqrt(3)), to which log costs are scaled."""


@dataclass(frozen=True)
class FeatureMap:
    """Encoded configs with inactive parameters filled in, and for each that can be inactive whether it is.

    Attributes:
        center: Mean of the active values of each column [p].
        scale: Factor of each column [p]; ranges in [0, 1] become ranges in [-1, 1].
        can_be_inactive: Columns that are NaN in some config [p].
    """

    center: Floats
    scale: Floats
    can_be_inactive: NDArray[np.bool_]

    @classmethod
    def of(cls, encoded: Floats, costs: int = 0) -> FeatureMap:
        """Fit to encoded configs [n, p], NaN where inactive; ranges lie in [0, 1].

        The last `costs` columns are logarithms of costs, which have a range of their own.
        """
        can_be_inactive = np.asarray(np.isnan(encoded).any(axis=0))
        filled = np.where(np.isnan(encoded), 0.0, encoded)
        active = np.maximum((~np.isnan(encoded)).sum(axis=0), 1)
        center = filled.sum(axis=0) / active
        binary = np.asarray(np.all((filled == 0) | (filled == 1), axis=0))
        scale = np.where(binary, 1.0, 2.0)
        if costs:
            scale[-costs:] = UNIFORM_STD / np.maximum(filled[:, -costs:].std(axis=0), 1e-3)
        return cls(center, scale, can_be_inactive)

    def __call__(self, encoded: Floats) -> Floats:
        """Columns [n, p + those that can be inactive] of encoded configs; an inactive parameter is at its centre."""
        filled = np.where(np.isnan(encoded), self.center, encoded)
        return np.hstack([(filled - self.center) * self.scale, np.isnan(encoded[:, self.can_be_inactive]) - 0.5])
