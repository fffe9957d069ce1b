"""Stopping trials early on several objectives: by what they may still reach, and by non-dominated rank.

Optuna can neither report nor prune in multi-objective studies, so the decision is ours. It reads
recorded reports only, so that a replayed study decides as the first one did.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from autoreg.engine.pareto import front
from autoreg.engine.pareto.front import Floats
from autoreg.engine.pruning.final_forecast import optimistic_final
from autoreg.errors import InputError


@dataclass(frozen=True)
class Decision:
    """Whether a trial goes on at a rung, and why not."""

    stop: bool
    reason: str = ""
    audit: bool = False


@dataclass(frozen=True)
class Halving:
    """Stopping at rungs, asynchronously, by two rules.

    The optimistic-forecast rule: a trial is stopped when even the optimistic end of its forecast is dominated at its
    known costs by a complete trial. The forecast is learned from finished trials after whose rungs the same was trained
    (fine-tuning, learned bits), and one training counts once, however many variants share it and the noise of its seed.

    The rank rule, multi-objective successive halving within a recent window: a trial is compared with the
    last `window` other trials that reached the rung, by non-dominated rank of (quality at the rung, known
    costs), ties by hypervolume contribution; the best `1/eta` go on. A trial of rank 0 goes on whatever its place.

    Args:
        eta: One in `eta` goes on at each rung. The first report of a trial is a rung, and then every report at
            `eta` times the step of the last rung or later: 1, 3, 9, ... of a trial that reports at every step.
        first: The first step that can be a rung.
        window: How many of the latest other reports at the rung count.
        min_reports: No trial is stopped before this many others have reached the rung.
        audit: Share of stops that are audited, in [0, 1]: the trial is finished all the same, which shows how many
            stops were wrong.
        optimism: How sure a forecast must be that a trial turns out no better, in [0.5, 1).
        every_report_is_rung: Whether every step that is reported is a rung: for objectives that report at rungs of
            their own.
        rank: Whether the rank rule stops trials too. None: unless `every_report_is_rung`, since an
            objective with rungs of its own scores a compressed copy there, before it is fine-tuned, and its rank says
            little of what it becomes.

    Reference: Li et al., "A system for massively parallel hyperparameter tuning" (ASHA), MLSys
    2020, arXiv 1810.05934; for several objectives Schmucker et al., "Multi-objective asynchronous
    successive halving" (MO-ASHA), 2021, arXiv 2106.12639. A window instead of all reports, since
    late trials of a good sampler nearly always pass a rung filled by early ones.
    """

    eta: float = 3.0
    first: int = 1
    window: int = 24
    min_reports: int = 5
    audit: float = 0.05
    optimism: float = 0.95
    every_report_is_rung: bool = False
    rank: bool | None = None

    def __post_init__(self) -> None:
        checks = {
            "eta": self.eta > 1,
            "first": self.first >= 1,
            "window": self.window >= self.min_reports,
            "min_reports": self.min_reports >= 1,
            "audit": 0 <= self.audit <= 1,
            "optimism": 0.5 <= self.optimism < 1,
        }
        for name, ok in checks.items():
            if not ok:
                raise InputError(
                    f"early stopping: {name} = {getattr(self, name)!r} is out of range (eta > 1, first >= 1, "
                    "window >= min_reports >= 1, audit in [0, 1], optimism in [0.5, 1))"
                )

    @property
    def ranks(self) -> bool:
        """Whether the rank rule stops trials."""
        return not self.every_report_is_rung if self.rank is None else self.rank

    def is_rung(self, step: int, earlier: Sequence[int] = ()) -> bool:
        """Whether `step` is a rung for a trial that has reported at the `earlier` steps, ascending."""
        if self.every_report_is_rung:
            return True
        last: int | None = None
        for reported in (*earlier, step):
            rung = reported >= self.first and (last is None or reported >= self.eta * last)
            if rung:
                last = reported
        return last == step

    def decide(
        self,
        own: ArrayLike,
        others: ArrayLike,
        *,
        quality: int,
        finished: ArrayLike,
        finals: ArrayLike,
        groups: Sequence[str] | None = None,
        wrong: int = 0,
        reference: ArrayLike | None = None,
    ) -> Decision:
        """Decide about one trial at a rung; every objective is to be minimized.

        Args:
            own: The trial's objectives [m]: quality at the rung, costs as known.
            others: The same of the other trials at this rung, oldest first [n][m].
            quality: Index of the quality among the objectives.
            finished: Quality at this rung and at the end of complete trials that are like it [j][2].
            finals: Objectives of complete trials that count, at their end [k][m].
            groups: Label of what shares the noise of a seed, for each of `finished` [j]; None: each has its own.
            wrong: Stops that audits have shown to be wrong.
            reference: Point below which hypervolume is taken [m].
        """
        me = np.asarray(own, dtype=float)
        bound = self._forecast_bound(me, quality, np.asarray(finished, dtype=float).reshape(-1, 2), groups, wrong)
        ended = np.asarray(finals, dtype=float).reshape(-1, len(me))
        if bound is not None and len(ended) and bool(np.any(_dominates(ended, bound))):
            return Decision(True, f"at its known cost even the optimistic bound {bound[quality]:.4g} is dominated")
        recent = np.asarray(others, dtype=float).reshape(-1, len(me))[-self.window :]
        if len(recent) < self.min_reports or not self.ranks:
            return Decision(False)
        points = np.vstack([recent, me])
        level = front.ranks(points)
        if level[-1] == 0:
            return Decision(False)
        place = int(np.flatnonzero(front.order(points, reference) == len(points) - 1)[0])
        keep = max(1, math.floor(len(points) / self.eta))
        if place < keep:
            return Decision(False)
        return Decision(True, f"place {place + 1} of {len(points)} at this rung, {keep} go on")

    def _forecast_bound(
        self, own: Floats, quality: int, finished: Floats, groups: Sequence[str] | None, wrong: int
    ) -> Floats | None:
        if len(finished) < self.min_reports:
            return None
        bound, share = own.copy(), 1 - self.optimism
        bound[quality] = optimistic_final(float(own[quality]), finished[:, 0], finished[:, 1], share, wrong, groups)
        return bound

    def audits(self, seed: int, trial: int) -> bool:
        """Whether a stop of this trial is audited, so that the trial goes on; drawn once per trial."""
        return bool(np.random.default_rng([seed, trial, 0xA0D17]).random() < self.audit)


def _dominates(points: Floats, other: Floats) -> front.Mask:
    return np.asarray(np.all(points <= other, axis=1) & np.any(points < other, axis=1))
