"""What a trial may still reach, from finished trials that passed the same rung."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri

from autoreg.search.front import Floats

NEAR = 1.5
"""A relation is as good as the best if it errs no more than this many times as much."""


def optimistic(own: float, rungs: ArrayLike, finals: ArrayLike, share: float, wrong: int = 0) -> float:
    """The lower `share` quantile of the final quality of a trial that stands at `own` at a rung.

    Four relations are tried: the final differs from the rung by an amount, or by a factor, or is linear
    in it, or the rung tells nothing. Of those whose forecasts of each finished trial by the others
    were about as near as the nearest (within `NEAR`), the most hopeful is taken. The last holds where a
    compressed copy is scored before it is fine-tuned and comes out at chance level whatever it will become.

    The quantile is the lower of an empirical one (exact in rank, as in split conformal prediction) and a Gaussian one,
    since twenty trials are needed before an empirical 5 % quantile exists at all. It is never worse than `own`.

    Args:
        own: Quality at the rung, to be minimized.
        rungs: Quality of finished trials at this rung [k >= 1].
        finals: Their final quality [k].
        share: How many of the trials may turn out better, in (0, 0.5].
        wrong: Stops that an audit has shown to be wrong; each lowers the quantile by another deviation.
    """
    at, end = np.asarray(rungs, dtype=float), np.asarray(finals, dtype=float)
    offers = [own + (end - at), end]
    errors = [_left_out(end - at), _left_out(end)]
    if own > 0 and np.all(at > 0) and np.all(end > 0):
        offers.append(own * end / at)
        errors.append(float(np.mean(np.abs(_others(np.log(end / at)) * at - end))))
    if len(at) >= 4 and float(at.std()) > 1e-12:
        off = at - at.mean()
        slope = float(off @ end) / float(off @ off)
        rest = end - end.mean() - slope * off
        leverage = 1 / len(at) + off * off / float(off @ off)
        offers.append(end.mean() + slope * (own - at.mean()) + rest)
        errors.append(float(np.mean(np.abs(rest / np.maximum(1 - leverage, 0.05)))))
    bar = NEAR * min(errors) + 1e-12
    lowest = min(_lower(o, share, wrong) for o, e in zip(offers, errors, strict=True) if e <= bar)
    return min(own, lowest)


def _lower(values: Floats, share: float, wrong: int) -> float:
    """Lower quantile of one more value like `values`, without knowing more of them."""
    count = len(values)
    spread = float(values.std(ddof=1)) if count > 1 else abs(float(values[0]))
    place = math.floor(share * (count + 1))
    ranked = float(np.sort(values)[max(place - 1, 0)])
    normal = float(values.mean()) + float(ndtri(share)) * spread * math.sqrt(1 + 1 / count)
    return (ranked if place >= 1 and count > 40 else min(ranked, normal)) - wrong * spread


def _left_out(values: Floats) -> float:
    """Mean error with which each value is foretold by the mean of the others."""
    count = len(values)
    return float(np.mean(np.abs(values - values.mean()))) * count / max(count - 1, 1)


def _others(logs: Floats) -> Floats:
    """Per value the exponential of the mean of the other logarithms."""
    count = len(logs)
    return np.asarray(np.exp((logs.sum() - logs) / max(count - 1, 1)))
