"""Sums of numbers that are given by their logarithms."""

from __future__ import annotations

import numpy as np

from autoreg.engine.pareto.front import Floats


def log_sum(logs: Floats) -> Floats:
    """Logarithm of the sum over the last axis of numbers given by their logarithms, none of them +inf; -inf for none.

    As `scipy.special.logsumexp`, without what that does for complex numbers and signs.
    """
    if not logs.shape[-1]:
        return np.full(logs.shape[:-1], -np.inf)
    top = logs.max(axis=-1)
    shift = np.where(top == -np.inf, 0.0, top)
    with np.errstate(divide="ignore"):
        return np.asarray(shift + np.log(np.exp(logs - shift[..., None]).sum(axis=-1)))
