"""Figures of a run: hypervolume by truth, work to a target, attainment; and paired tests between arms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from benchmarks.tables import staircase
from benchmarks.tables.table import Floats, Table


# many arguments: the scales of one table, built in one place
@dataclass(frozen=True)
class Judge:
    """The scales of one table as one seed has it: truth is the mean over the other seeds.

    The *tight* measure is hypervolume on log cost below (dense cost, dense error + tolerance), as a share of what lies
    between the common start (0) and the front of the whole table (1). The *naive* one is hypervolume on plain cost
    below the worst cost and error of the table, as a share of the whole table's; it is loose: one good point holds
    most of it.

    `good` is the largest error near the best and the least cost of such a recipe. What *the whole table* is where a
    space is live, see `benchmarks.tables.live`.

    `steps` says of each trial after which step it was stopped, 0 where it ran to its end: what was stopped is nothing
    that was found. Without it all ran to their ends.
    """

    table: Table
    seed: int
    truths: Floats
    seen: Floats
    tight_corner: tuple[float, float]
    tight_full: float
    naive_corner: tuple[float, float]
    naive_full: float
    good: tuple[float, float]

    def found(self, rows: Sequence[int], starts: int, steps: Sequence[int] | None = None) -> Floats:
        """Tight measure after each trial [n], over all that ran to its end."""
        got = staircase.history(np.log(self._costs(rows, steps)), self.truths[rows], self.tight_corner)
        return np.asarray(self._share(got, float(got[starts - 1])))

    def handed_over(
        self,
        rows: Sequence[int],
        starts: int,
        steps: Sequence[int] | None = None,
        chosen: Sequence[int] | None = None,
    ) -> float:
        """Tight measure of those that the arm hands over, judged by truth: `chosen`, or the front of what it saw.

        May be below 0: a front chosen on one seed can be worse than the start was in truth.
        """
        taken = _whole(rows, steps)
        begun = staircase.hypervolume(
            np.log(self.table.costs[taken[:starts]]), self.truths[taken[:starts]], self.tight_corner
        )
        by = taken[np.lexsort((self.seen[taken], self.table.costs[taken]))]
        best = np.minimum.accumulate(self.seen[by])
        front = by[np.append(True, best[1:] < best[:-1])] if chosen is None else np.asarray(chosen, dtype=np.int64)
        got = staircase.hypervolume(np.log(self.table.costs[front]), self.truths[front], self.tight_corner)
        return float(self._share(np.array(got), begun))

    def naive(self, rows: Sequence[int], steps: Sequence[int] | None = None) -> Floats:
        """Naive measure after each trial [n]."""
        got = staircase.history(self._costs(rows, steps), self.truths[rows], self.naive_corner)
        return np.asarray(got / self.naive_full)

    def cheapest(self, rows: Sequence[int], steps: Sequence[int] | None = None) -> float:
        """Cost of the cheapest recipe that ran to its end and is near the table's best, as a multiple of the least.

        Infinite when none did.
        """
        error, least = self.good
        taken = _whole(rows, steps)
        tried = taken[self.truths[taken] <= error]
        return float(self.table.costs[tried].min() / least) if len(tried) else float("inf")

    def attained(self, rows: Sequence[int], log_costs: ArrayLike, steps: Sequence[int] | None = None) -> Floats:
        """Lowest true error reached at no more than each of the log costs [k]; infinite where there is none."""
        taken = _whole(rows, steps)
        costs, errors = staircase.staircase(np.log(self.table.costs[taken]), self.truths[taken])
        at = np.searchsorted(costs, np.asarray(log_costs), side="right")
        return np.append(np.inf, errors)[at]

    def _costs(self, rows: Sequence[int], steps: Sequence[int] | None) -> Floats:
        """Costs of trials [n], infinite for those that were stopped."""
        stopped = np.zeros(len(rows), dtype=bool) if steps is None else np.asarray(steps) > 0
        return np.where(stopped, np.inf, self.table.costs[rows])

    def _share(self, got: Floats, begun: float) -> Floats:
        return (got - begun) / (self.tight_full - begun)


def _whole(rows: Sequence[int], steps: Sequence[int] | None) -> NDArray[np.int64]:
    """Rows of the trials that ran to their end."""
    taken = np.asarray(rows, dtype=np.int64)
    return taken if steps is None else taken[np.asarray(steps) == 0]


def judge(table: Table, seed: int) -> Judge:
    """Fix the scales of a (table, seed)."""
    truths = table.truths(seed)
    costs, errors = table.whole(seed)
    tight = (float(np.log(table.costs[table.dense])), float(truths[table.dense]) + table.tolerance)
    loose = (float(costs.max()), float(errors.max()))
    near = float(errors.min()) + table.near
    return Judge(
        table,
        seed,
        truths,
        table.seen(seed),
        tight,
        staircase.hypervolume(np.log(costs), errors, tight),
        loose,
        staircase.hypervolume(costs, errors, loose),
        (near, float(costs[errors <= near].min())),
    )


def trials_to(shares: Floats, target: float) -> float:
    """Number of trials after which a share is reached; infinite when it is not."""
    hit = np.flatnonzero(shares >= target)
    return float(hit[0] + 1) if len(hit) else float("inf")


def spent_to(shares: Floats, spent: ArrayLike, target: float) -> float:
    """What had been spent [n, cumulated] when a share was reached; infinite when it was not."""
    hit = trials_to(shares, target)
    return float(np.asarray(spent)[int(hit) - 1]) if np.isfinite(hit) else float("inf")


def at_spent(shares: Floats, spent: ArrayLike, mark: float) -> float:
    """Share [n] that was reached when no more than `mark` was spent [n, cumulated]; NaN for a run that ended before."""
    paid = np.asarray(spent, dtype=float)
    if not len(paid) or paid[-1] < mark * (1 - 1e-9):
        return float("nan")
    done = int(np.searchsorted(paid, mark * (1 + 1e-9), side="right"))
    return float(shares[done - 1]) if done else 0.0


def ecdf(values: ArrayLike, marks: ArrayLike) -> Floats:
    """Share of values that are at most each of the marks [k]; infinite values never are."""
    x = np.sort(np.asarray(values, dtype=float))
    return np.asarray(np.searchsorted(x, np.asarray(marks, dtype=float), side="right") / max(len(x), 1))


def half_width(values: ArrayLike, level: float = 0.95) -> float:
    """Half the width of Student's interval for a mean; NaN for fewer than two values."""
    from scipy.stats import t

    x = np.asarray(values, dtype=float)
    if len(x) < 2:
        return float("nan")
    return float(t.ppf(0.5 + level / 2, len(x) - 1) * x.std(ddof=1) / np.sqrt(len(x)))


def holm(pvalues: Mapping[str, float]) -> dict[str, float]:
    """Adjusted p-values by Holm's step-down procedure (Scandinavian Journal of Statistics, 1979)."""
    worst, out = 0.0, {}
    for k, (name, p) in enumerate(sorted(pvalues.items(), key=lambda item: item[1])):
        worst = max(worst, min((len(pvalues) - k) * p, 1.0))
        out[name] = worst
    return out


def paired(ours: ArrayLike, other: ArrayLike) -> float:
    """Two-sided p-value of Wilcoxon's signed-rank test on pairs; 1 when all pairs are equal."""
    from scipy.stats import wilcoxon

    gain = np.asarray(ours, dtype=float) - np.asarray(other, dtype=float)
    return float(wilcoxon(gain).pvalue) if np.any(gain != 0) else 1.0
