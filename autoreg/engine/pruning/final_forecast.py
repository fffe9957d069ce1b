"""What a trial may still reach, from finished trials that passed the same rung."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from autoreg.engine.pareto.front import Floats
from autoreg.lazy import lazy_module

special = lazy_module("scipy.special")

RELATION_TOLERANCE = 1.5
"""A relation is as good as the best if its error is no more than this many times as large."""
MIN_GROUPS_RANKED = 40
"""Groups from which on the empirical quantile stands alone."""


def optimistic_final(
    own: float, rungs: ArrayLike, finals: ArrayLike, share: float, wrong: int = 0, groups: Sequence[str] | None = None
) -> float:
    """The lower `share` quantile of the final quality of a trial that stands at `own` at a rung.

    Four relations are tried: the final differs from the rung by an amount, or by a factor, or is linear
    in it, or the rung tells nothing. Of those whose forecasts of each finished trial by those of other groups
    were about as near as the nearest (within `RELATION_TOLERANCE`), the most optimistic is taken. The last holds where
    a compressed copy is scored before it is fine-tuned and comes out at chance level whatever it will become.

    Trials of a group share the noise of a seed: ten variants of one training say little more of the next training than
    one. So each group counts once, its trials sharing its weight, and groups are what degrees of freedom are counted
    in.

    The quantile is the lower of an empirical one (exact in rank, as in split conformal prediction) and that of
    Student's t, since twenty groups are needed before an empirical 5 % quantile exists at all. It is never worse than
    `own`.

    Args:
        own: Quality at the rung, to be minimized.
        rungs: Quality of finished trials at this rung [k >= 1].
        finals: Their final quality [k].
        share: How many of the trials may turn out better, in (0, 0.5].
        wrong: Stops that an audit has shown to be wrong; each lowers the quantile by another deviation.
        groups: Label of what shares the noise of a seed [k], such as a training; None: each has its own.

    Reference: Dunn, Wasserman and Ramdas, "Distribution-free prediction sets for two-layer hierarchical models",
    arXiv 1809.07441: pooling with weights by group ("CDF pooling"). Without groups the normal quantile is the
    textbook prediction interval, for a mean and for a regression line.
    """
    at, end = np.asarray(rungs, dtype=float), np.asarray(finals, dtype=float)
    pool = _Pool(np.unique(np.arange(len(at)) if groups is None else np.asarray(groups), return_inverse=True)[1])
    offers = [
        (pool.lower(own + (end - at), share, wrong), pool.mean(np.abs(pool.others(end - at) - (end - at)))),
        (pool.lower(end, share, wrong), pool.mean(np.abs(pool.others(end) - end))),
    ]
    if own > 0 and np.all(at > 0) and np.all(end > 0):
        predicted = np.exp(pool.others(np.log(end / at))) * at
        offers.append((pool.lower(own * end / at, share, wrong), pool.mean(np.abs(predicted - end))))
    off = at - pool.mean(at)
    square = pool.mean(off * off)
    if pool.count >= 4 and square > 1e-24:
        slope, mine = pool.mean(off * end) / square, own - pool.mean(at)
        rest = end - pool.mean(end) - slope * off
        leverage = 1 / pool.count + off * off / (pool.count * square)
        line = pool.mean(end) + slope * mine + rest
        extra = mine * mine / (pool.count * square)
        error = pool.mean(np.abs(rest / np.maximum(1 - leverage, 0.05)))
        offers.append((pool.lower(line, share, wrong, used=2, extra=extra), error))
    bar = RELATION_TOLERANCE * min(error for _, error in offers) + 1e-12
    return min(own, *(low for low, error in offers if error <= bar))


@dataclass(frozen=True)
class _Pool:
    """Values of trials in groups that weigh alike; `group` [k] counts from 0."""

    group: NDArray[np.int64]

    @cached_property
    def sizes(self) -> NDArray[np.int64]:
        """Trials of each group."""
        return np.bincount(self.group)

    @property
    def count(self) -> int:
        """How many groups there are."""
        return len(self.sizes)

    @cached_property
    def weights(self) -> Floats:
        """Weight of each trial [k]; they sum to 1."""
        return np.asarray(1 / (self.count * self.sizes[self.group]))

    def mean(self, values: Floats) -> float:
        """Mean of the groups' means."""
        return float(self.weights @ values)

    def others(self, values: Floats) -> Floats:
        """Per trial the mean of the means of the other groups."""
        means = np.bincount(self.group, values) / self.sizes
        return np.asarray((means.sum() - means[self.group]) / max(self.count - 1, 1))

    def lower(self, values: Floats, share: float, wrong: int, used: int = 1, extra: float = 0.0) -> float:
        """Lower quantile of the value of a trial of one more group, without knowing more of it.

        Args:
            values: One for each trial [k].
            share: The quantile.
            wrong: Deviations by which it is lowered.
            used: Parameters that the values were fitted with.
            extra: Leverage of the new trial beside that of the mean.
        """
        free = self.count - used
        mean = self.mean(values)
        spread = math.sqrt(self.mean((values - mean) ** 2) * self.count / free) if free > 0 else abs(float(values[0]))
        parametric = mean + float(special.stdtrit(max(free, 1), share)) * spread * math.sqrt(1 + 1 / self.count + extra)
        order = np.argsort(values, kind="stable")
        below = np.cumsum(self.weights[order]) * self.count / (self.count + 1) <= share + 1e-12
        place = int(below.sum())
        ranked = float(values[order][max(place - 1, 0)])
        return (ranked if place >= 1 and self.count > MIN_GROUPS_RANKED else min(ranked, parametric)) - wrong * spread
