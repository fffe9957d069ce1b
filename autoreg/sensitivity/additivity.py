"""How far the distortions of layers add up: summed against jointly measured, at equal cost. Loads without torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from autoreg.errors import InputError

TRUSTED_ABOVE = 0.5
"""The additive program is used when the rank correlation of the sum with the joint distortion is above this."""


@dataclass(frozen=True)
class Additivity:
    """How the summed distortions of assignments go with those measured jointly.

    Attributes:
        spearman: correlation of the ranks, in [-1, 1]; 0 where all are equal.
        pearson: correlation of the logarithms.
        ratio: median of joint over summed; 1 where distortions add up, above where they amplify each other.
        assignments: how many were compared.
    """

    spearman: float
    pearson: float
    ratio: float
    assignments: int

    @property
    def trusted(self) -> bool:
        """Whether the program is used: Spearman above `TRUSTED_ABOVE`, over at least 8 assignments."""
        return self.assignments >= 8 and self.spearman > TRUSTED_ABOVE

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {**asdict(self), "trusted": self.trusted}


def additivity(summed: ArrayLike, joint: ArrayLike) -> Additivity:
    """Compare summed with jointly measured distortions.

    Assignments of different cost would correlate whatever the layers do; draw them with `within_budget`.

    Args:
        summed: positive [n].
        joint: positive [n].

    Raises:
        InputError: there are fewer than 3, or one is not positive.
    """
    from scipy.stats import pearsonr, spearmanr

    first, second = np.asarray(summed, dtype=float), np.asarray(joint, dtype=float)
    if first.shape != second.shape or first.ndim != 1 or len(first) < 3 or min(first.min(), second.min()) <= 0:
        raise InputError("additivity: give at least 3 positive distortions, summed and joint")
    ranked = logs = 0.0
    if np.ptp(first) > 0 and np.ptp(second) > 0:
        ranked = float(spearmanr(first, second).statistic)
        logs = float(pearsonr(np.log(first), np.log(second)).statistic)
    return Additivity(ranked, logs, float(np.median(second / first)), len(first))


def within_budget(costs: Sequence[Sequence[int]], budget: int, rng: np.random.Generator) -> tuple[int, ...]:
    """A random assignment that spends a budget: no single layer can be raised to its next dearer level within it.

    Levels are drawn evenly, then random layers are lowered until the budget holds, then raised while they can be.

    Args:
        costs: by layer and level, whole numbers, in any order.
        budget: most that the costs may add up to.
        rng: where it is drawn from.

    Returns:
        Index of a level by layer.

    Raises:
        InputError: the cheapest assignment is above the budget.
    """
    ladders = [np.argsort(row, kind="stable") for row in costs]
    if sum(int(min(row)) for row in costs) > budget:
        raise InputError(f"within_budget: a budget of {budget:,} allows no assignment")
    at = [int(rng.integers(len(row))) for row in costs]

    def cost(layer: int, place: int) -> int:
        return int(costs[layer][ladders[layer][place]])

    left = budget - sum(cost(layer, place) for layer, place in enumerate(at))
    while left < 0:
        layer = int(rng.choice([layer for layer, place in enumerate(at) if place > 0]))
        left += cost(layer, at[layer]) - cost(layer, at[layer] - 1)
        at[layer] -= 1
    while fits := [
        layer
        for layer, place in enumerate(at)
        if place + 1 < len(ladders[layer]) and cost(layer, place + 1) - cost(layer, place) <= left
    ]:
        layer = int(rng.choice(fits))
        left -= cost(layer, at[layer] + 1) - cost(layer, at[layer])
        at[layer] += 1
    return tuple(int(ladder[place]) for ladder, place in zip(ladders, at, strict=True))
