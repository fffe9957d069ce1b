"""Measures of "joint against sequential", fixed before any result was seen.

All are taken on test error of the very models that a search trained; which of them are handed over was decided by
validation. The corner is the dense network's test error (mean over seeds) plus the task's tolerance, and its cost.

hypervolume
    of a front below the corner on log cost. The unit is that of a network with the dense one's test error at a
    hundredth of its cost, so that values may exceed 1.
as chosen
    the same area where at each cost the network is taken that validation prefers there, instead of the best on test.
cheapest
    cost of the cheapest member within `near` of the dense network's test error, as a share of the dense cost; 1, the
    dense network itself, where there is none.
error at
    test error of the member that validation prefers among those of at most some share of the dense cost.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.premise_tasks import Case
from benchmarks.tables.measures import half_width, holm, paired
from benchmarks.tables.staircase import hypervolume

UNIT = math.log(100)
LEVELS = (0.5, 0.2, 0.1, 0.05, 0.02, 0.01)
"""Shares of the dense cost at which the error is read."""
ARMS = ("joint", "sequential", "dense", "small", "small_bits", "distilled", "tpe")
"""Of which `small_bits` is `small` with the quantized networks, by the same runs; ablations follow them."""
Point = tuple[float, float, float]
"""Cost, validation error, test error of a member."""


@dataclass(frozen=True)
class Scale:
    """What members are measured against: the dense network's cost and mean test error, and the two margins."""

    cost: float
    error: float
    tolerance: float
    near: float

    @property
    def corner(self) -> tuple[float, float]:
        """Log cost and error from which on nothing counts."""
        return math.log(self.cost), self.error + self.tolerance


def points_of(row: Mapping[str, Any], on: str) -> list[Point]:
    """The members of a run's front by a cost (`bytes`, or `bytes32` of 32-bit networks alone), by rising cost."""
    name = on.removesuffix("32")
    members = [m for m in row["members"] if on in m["on"]]
    return sorted((m["costs"][name], m["error"], m["error_test"]) for m in members)


def volume(points: Sequence[Point], scale: Scale) -> float:
    """Hypervolume by test error in the unit of the page."""
    found = hypervolume([math.log(c) for c, _, _ in points], [t for _, _, t in points], scale.corner)
    return found / (UNIT * scale.tolerance)


def chosen_volume(points: Sequence[Point], scale: Scale) -> float:
    """The area where validation chooses at each cost; what it chooses beyond the corner counts nothing."""
    top, limit = scale.corner
    inside = [(math.log(c), t) for c, _, t in points if math.log(c) < top]
    ends = [*(c for c, _ in inside), top][1:]
    found = sum((end - c) * max(0.0, limit - t) for (c, t), end in zip(inside, ends, strict=True))
    return found / (UNIT * scale.tolerance)


def cheapest(points: Sequence[Point], scale: Scale) -> float:
    """Least share of the dense cost within `near` of the dense test error; at most 1."""
    return min([1.0, *(c / scale.cost for c, _, t in points if t <= scale.error + scale.near)])


def error_at(points: Sequence[Point], cost: float) -> float:
    """Test error of the member that validation prefers among those of at most that cost; NaN where there is none."""
    within = [p for p in points if p[0] <= cost]
    return min(within, key=lambda p: p[1])[2] if within else math.nan


def measures(points: Sequence[Point], scale: Scale) -> dict[str, float]:
    """All measures of one run."""
    return {
        "hypervolume": volume(points, scale),
        "as chosen": chosen_volume(points, scale),
        "cheapest": cheapest(points, scale),
        **{f"error at {level:.0%}": error_at(points, level * scale.cost) for level in LEVELS},
        "members": float(len(points)),
    }


def scale_of(rows: Sequence[Mapping[str, Any]], case: Case, cost: str) -> Scale:
    """The scale of a case by the runs of its dense arm; measured costs differ between them, so the median counts."""
    dense = [p for row in rows if row["arm"] == "dense" for p in points_of(row, cost)]
    return Scale(
        float(np.median([c for c, _, _ in dense])), float(np.mean([t for _, _, t in dense])), case.tolerance, case.near
    )


def fronts_of(rows: Sequence[Mapping[str, Any]], cost: str) -> dict[str, dict[int, list[Point]]]:
    """By arm as it is shown and by seed, the members of its front."""
    found: dict[str, dict[int, list[Point]]] = {arm: {} for arm in ARMS}
    for row in rows:
        small = row["arm"] == "small"
        found.setdefault(row["arm"], {})[row["seed"]] = points_of(row, f"{cost}32" if small else cost)
        if small:
            found["small_bits"][row["seed"]] = points_of(row, cost)
    return {arm: by_seed for arm, by_seed in found.items() if by_seed}


def compared(found: Mapping[str, Mapping[int, Mapping[str, float]]], name: str, first: str) -> dict[str, Any]:
    """One arm against all others in a measure, over the seeds that both have.

    Returns:
        By arm: pairs, mean difference (of logarithms for `cheapest`), half of its 95 % interval (Student), how often
        the first was better, p of Wilcoxon's test, and p by Holm over the arms.
    """
    sign = 1 if name in ("hypervolume", "as chosen") else -1
    rows: dict[str, Any] = {}
    for arm, by_seed in found.items():
        seeds = sorted(set(by_seed) & set(found[first]))
        if arm == first or not seeds:
            continue
        ours, other = (np.array([found[a][seed][name] for seed in seeds]) for a in (first, arm))
        if name == "cheapest":
            ours, other = np.log(ours), np.log(other)
        gain = ours - other
        rows[arm] = {"pairs": len(seeds), "difference": float(gain.mean()), "half": half_width(gain)}
        rows[arm] |= {"better": int((sign * gain > 0).sum()), "p": paired(ours, other) if len(seeds) > 1 else math.nan}
    adjusted = holm({arm: row["p"] for arm, row in rows.items() if not math.isnan(row["p"])})
    return {arm: {**row, "holm": adjusted.get(arm, math.nan)} for arm, row in rows.items()}
