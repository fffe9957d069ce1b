"""The members of the front, with what is known of each."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from autoreg.engine.log.baseline_names import BASELINE_NAMES
from autoreg.report.data.final_results import ExportedModel, Member, SeedSpread
from autoreg.report.data.load import StudyData
from autoreg.report.data.trial_values import costs_of


@dataclass(frozen=True)
class FrontRow:
    """One member of the front.

    Attributes:
        trial: its number.
        source: who proposed it.
        metrics: of the search, with the seed that selected it.
        recipe: the config itself.
        validation: over fresh seeds, None where it was not re-evaluated.
        test: likewise on test data, None before the final evaluation.
        test_sets: by test set, where a task has several.
        hv_contribution: the hypervolume that only this member contributes.
        front_probability: how often it is on the front when seeds are drawn anew: of the fresh seeds once there are
            some, before that by the posterior of the search.
        replicated: whether every fresh seed completed.
        on_final_front: whether it is on the front of the means over fresh seeds; None when not re-evaluated.
        exported: its exported model, None where there is none.
    """

    trial: int
    source: str
    metrics: Mapping[str, float]
    recipe: Mapping[str, Any]
    validation: SeedSpread | None = None
    test: SeedSpread | None = None
    test_sets: Mapping[str, SeedSpread] = field(default_factory=dict)
    hv_contribution: float | None = None
    front_probability: float | None = None
    replicated: bool = False
    on_final_front: bool | None = None
    exported: ExportedModel | None = None


def front_rows(data: StudyData) -> list[FrontRow]:
    """The members of the front, best quality first; those that were re-evaluated are among them."""
    members = {member.trial: member for member in data.final.members}
    exported = {model.trial: model for model in data.final.exported if not model.error}
    rows: list[FrontRow] = []
    for _, trial in data.reported_front.iterrows():
        number = int(trial["number"])
        member = members.get(number, Member(number))
        probability = member.front_probability
        rows.append(
            FrontRow(
                trial=number,
                source=str(trial["source"]),
                metrics={m: float(trial[m]) for m in data.metrics if not math.isnan(trial[m])},
                recipe=data.state.records[number].config,
                validation=member.validation,
                test=member.test,
                test_sets=member.test_sets,
                hv_contribution=member.hv_contribution,
                front_probability=data.front_probabilities.get(number) if probability is None else probability,
                replicated=member.replicated,
                on_final_front=member.on_final_front,
                exported=exported.get(number),
            )
        )
    return rows


def baseline_points(data: StudyData) -> list[tuple[str, Mapping[str, float]]]:
    """Names and metrics of the baselines: those of final.json, else the trials that the search itself began with."""
    found = [(baseline.name, baseline.metrics) for baseline in data.final.baselines if baseline.metrics]
    if found:
        return found
    return [(record.source, costs_of(record)) for record in data.state.complete() if record.source in BASELINE_NAMES]


def metric_direction(data: StudyData, name: str) -> str:
    """Whether a metric is better low or high, `min` or `max`; every recorded cost is better low."""
    return data.objectives.get(name, "min")
