"""Gains over the dense recipe, and what the search cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from autoreg.engine.log.baseline_names import DENSE
from autoreg.report.data.front import FrontRow
from autoreg.report.data.load import StudyData
from autoreg.report.data.seed_spread import SeedSpread

SAME_MEAN = 1e-9  # relative: means of the same numbers in another order differ in their last digits
NEARLY_DENSE_TOLERANCE = 0.02  # of the distance from the dense quality to chance level


@dataclass(frozen=True)
class Gain:
    """The cheapest member whose quality meets a bound, or the nearest to the bound of those cheaper than dense.

    Attributes:
        cost: which cost.
        dense: its value for the dense recipe.
        bound: the worst quality allowed.
        met: whether a member meets it.
        row: the member; None where none meets the bound and none is cheaper than dense.
    """

    cost: str
    dense: float
    bound: float
    met: bool = False
    row: FrontRow | None = None

    @property
    def value(self) -> float | None:
        """The member's cost."""
        return None if self.row is None else self.row.metrics[self.cost]

    @property
    def ratio(self) -> float | None:
        """The dense cost over the member's: 2.0 is half the cost."""
        return None if self.value is None else self.dense / self.value

    @property
    def fresh(self) -> bool:
        """Whether the member's quality is a mean over fresh seeds, rather than that of the search."""
        return self.row is not None and self.row.validation is not None


@dataclass(frozen=True)
class DenseQuality:
    """The main objective of the dense recipe.

    Attributes:
        value: the mean over fresh seeds, before these that of the search.
        spread: over fresh seeds; None before these.
        test: likewise on test data.
    """

    value: float
    spread: SeedSpread | None = None
    test: SeedSpread | None = None


def dense_quality(data: StudyData) -> DenseQuality | None:
    """That of the baselines in final.json if they are there, else that of study.json; None where neither is."""
    main = data.main_objective
    for baseline in data.final.baselines:
        if baseline.name == DENSE and main in baseline.metrics:
            return DenseQuality(baseline.metrics[main], baseline.validation, baseline.test)
    return DenseQuality(data.dense[main]) if main in data.dense else None


@dataclass(frozen=True)
class QualityBounds:
    """The worst qualities that count as good as dense.

    Attributes:
        equal: the dense quality itself.
        standard_error: worse by the standard error of the dense mean over fresh seeds; None where that is not known.
        nearly: worse by 2 % of the distance to chance level, without one of the value itself.
    """

    equal: float
    standard_error: float | None
    nearly: float


def quality_bounds(data: StudyData, dense: DenseQuality) -> QualityBounds:
    """How good a network must be to be called as good as dense, in three degrees."""
    sign, chance = (1.0 if data.objectives[data.main_objective] == "min" else -1.0), data.config.chance
    error = None if dense.spread is None else dense.spread.standard_error(data.main_objective)
    nearly = NEARLY_DENSE_TOLERANCE * abs(dense.value if chance is None else chance - dense.value)
    return QualityBounds(
        dense.value, None if error is None else dense.value + sign * error, dense.value + sign * nearly
    )


def gains(data: StudyData, rows: Sequence[FrontRow], bound: float) -> list[Gain]:
    """For every recorded cost the cheapest of the front whose quality meets `bound`, else the nearest to it.

    Once members were re-evaluated with fresh seeds, the others do not count: the search selected them by one seed.
    """
    quality = data.main_objective
    sign = 1.0 if data.objectives[quality] == "min" else -1.0
    known = [row for row in rows if quality in row.metrics and DENSE not in (row.name, row.source)]
    known = [row for row in known if row.validation is not None and quality in row.validation.mean] or known
    allowed = sign * bound + SAME_MEAN * abs(bound)
    good = [row for row in known if sign * row.metrics[quality] <= allowed]
    found = []
    for cost in data.cost_metrics:
        dense = data.dense.get(cost)
        if cost in ("weights", "params") or not dense:
            continue
        met = [row for row in good if row.metrics.get(cost)]
        cheaper = [row for row in known if 0 < row.metrics.get(cost, 0.0) < dense]
        row = min(met, key=lambda r: r.metrics[cost], default=None)
        nearest = min(cheaper, key=lambda r: (sign * r.metrics[quality], r.metrics[cost]), default=None)
        found.append(Gain(cost, dense, bound, bool(met), row if met else nearest))
    return found


def dense_trainings(data: StudyData) -> float | None:
    """The epochs that the search ran, as a multiple of one dense training; None when not known."""
    for record in data.state.records:
        epochs = record.info.epochs_requested
        if record.source == DENSE and epochs:
            return data.epochs_run / epochs
    return None
