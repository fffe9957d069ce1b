"""Gains over the dense recipe, and what the search cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from autoreg.engine.log.baseline_names import DENSE
from autoreg.report.data.front import FrontRow
from autoreg.report.data.load import StudyData

NEARLY_DENSE_TOLERANCE = 0.02  # of the distance from the dense quality to chance level


@dataclass(frozen=True)
class Gain:
    """The cheapest member whose quality meets a bound.

    Attributes:
        cost: which cost.
        dense: its value for the dense recipe.
        bound: the worst quality allowed.
        trial: the member, None when none meets the bound.
        value: its cost.
        ratio: dense over value: 2.0 is half the cost.
        fresh: whether its quality is a mean over fresh seeds, rather than that of the seed that selected it.
    """

    cost: str
    dense: float
    bound: float
    trial: int | None = None
    value: float | None = None
    ratio: float | None = None
    fresh: bool = False


def dense_quality(data: StudyData) -> float | None:
    """The first quality objective of the dense recipe, from the baselines of final.json if they are there."""
    for baseline in data.final.baselines:
        if baseline.name == DENSE and data.main_objective in baseline.metrics:
            return baseline.metrics[data.main_objective]
    return data.dense.get(data.main_objective)


def quality_tolerance(data: StudyData) -> float:
    """How much worse than dense is nearly as good: 2 % of the distance to chance, else of the value itself."""
    dense, chance = dense_quality(data) or 0.0, data.config.chance
    return NEARLY_DENSE_TOLERANCE * abs(dense if chance is None else chance - dense)


def gains(data: StudyData, rows: Sequence[FrontRow], bound: float) -> list[Gain]:
    """For every recorded cost the cheapest member whose quality meets `bound`.

    Once members were re-evaluated with fresh seeds, the others do not count: the search selected them by one seed.
    """
    found = []
    quality = data.main_objective
    sign = 1.0 if data.objectives[quality] == "min" else -1.0
    counted = [r for r in rows if r.validation is not None and quality in r.validation.mean] or rows
    good = [r for r in counted if (value := member_quality(r, quality)) is not None and sign * value <= sign * bound]
    for cost in data.cost_metrics:
        dense = data.dense.get(cost)
        if cost in ("weights", "params") or not dense:
            continue
        best = min((r for r in good if r.metrics.get(cost)), key=lambda r: r.metrics[cost], default=None)
        if best is None:
            found.append(Gain(cost, dense, bound))
            continue
        value = best.metrics[cost]
        fresh = best.validation is not None and quality in best.validation.mean
        found.append(Gain(cost, dense, bound, best.trial, value, dense / value, fresh))
    return found


def member_quality(row: FrontRow, quality: str) -> float | None:
    """Mean over fresh seeds where a member was re-evaluated, else the value of the search."""
    mean = row.validation.mean if row.validation is not None else {}
    return mean.get(quality, row.metrics.get(quality))


def dense_trainings(data: StudyData) -> float | None:
    """The epochs that the search ran, as a multiple of one dense training; None when not known."""
    for record in data.state.records:
        epochs = record.info.epochs_requested
        if record.source == DENSE and epochs:
            return data.epochs_run / epochs
    return None
