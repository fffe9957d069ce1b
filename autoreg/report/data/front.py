"""The front of a study: one definition for the terminal, the page, exports, tables and `study.front`.

After the final evaluation it is what fresh seeds left of the members of the search and of the baselines. Before that,
and when the search has gone on since, it is the front of posterior means; while there is no posterior, that of what was
observed (see `autoreg.report.data.front_trials`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from autoreg.engine.log.baseline_names import BASELINE_NAMES
from autoreg.report.data.exported_model import ExportedModel
from autoreg.report.data.final_results import Baseline, Member
from autoreg.report.data.load import StudyData
from autoreg.report.data.seed_spread import SeedSpread
from autoreg.report.data.trial_values import costs_of
from autoreg.trial_info import LayerRecord


# many attributes: all that is known of a member
@dataclass(frozen=True)
class FrontRow:
    """One member of the front, or a baseline on it.

    Attributes:
        name: `trial 7`, or the baseline's name.
        trial: its number; None for a baseline that is no trial of the search.
        baseline: whether it is a baseline: of the final evaluation, or a trial that the search began with.
        source: who proposed it.
        metrics: by which it is on the front: means over fresh seeds, before these the posterior mean of the quality.
        search: metrics of the search, with the seed that selected it; empty for a baseline that is no trial.
        recipe: the config itself.
        validation: over fresh seeds, None where it was not re-evaluated.
        test: likewise on test data, None before the final evaluation.
        test_sets: by test set, where a task has several.
        hv_contribution: the hypervolume that only this member contributed to the front of the search.
        front_probability: how often it is on the front when seeds are drawn anew: of the fresh seeds once there are
            some, before that by the posterior of the search.
        replicated: whether every fresh seed completed.
        on_final_front: whether it is on the front after fresh seeds; None when not re-evaluated.
        dominated_by: what keeps it off that front; empty for those on it.
        layers: of its network.
        exported: its exported model, None where there is none.
    """

    name: str
    trial: int | None
    source: str
    metrics: Mapping[str, float]
    recipe: Mapping[str, Any]
    search: Mapping[str, float] = field(default_factory=dict)
    baseline: bool = False
    validation: SeedSpread | None = None
    test: SeedSpread | None = None
    test_sets: Mapping[str, SeedSpread] = field(default_factory=dict)
    hv_contribution: float | None = None
    front_probability: float | None = None
    replicated: bool = False
    on_final_front: bool | None = None
    dominated_by: str = ""
    layers: tuple[LayerRecord, ...] = ()
    exported: ExportedModel | None = None


def front_rows(data: StudyData) -> list[FrontRow]:
    """The front, best quality first; baselines that are on it are among its rows."""
    measured = {member.trial: member for member in data.final.members}
    named = [one for one in data.final.baselines if one.on_final_front] if data.is_final else []
    rows = [baseline_row(data, one) for one in named]
    trials = set(data.front["number"]) - {one.trial for one in named}
    rows += [_member_row(data, measured.get(int(number), Member(int(number)))) for number in trials]
    return _sorted(data, rows)


def left_rows(data: StudyData) -> list[FrontRow]:
    """Members of the front of the search that fresh seeds showed to be dominated, best quality first."""
    if not data.is_final:
        return []
    return _sorted(data, [_member_row(data, one) for one in data.final.members if one.on_final_front is False])


def _sorted(data: StudyData, rows: list[FrontRow]) -> list[FrontRow]:
    sign = 1.0 if data.objectives[data.main_objective] == "min" else -1.0

    def key(row: FrontRow) -> tuple[float, float, str]:
        trial = math.inf if row.trial is None else row.trial
        return sign * row.metrics.get(data.main_objective, sign * math.inf), trial, row.name

    return sorted(rows, key=key)


def _member_row(data: StudyData, member: Member) -> FrontRow:
    number = member.trial
    trial = data.trials.iloc[number]
    search = {m: float(trial[m]) for m in data.metrics if not math.isnan(trial[m])}
    probability, source = member.front_probability, str(trial["source"])
    return FrontRow(
        name=source if source in BASELINE_NAMES else member.name,
        trial=number,
        baseline=source in BASELINE_NAMES,
        source=source,
        metrics=_metrics(data, number, search, member.validation),
        search=search,
        recipe=data.state.records[number].config,
        validation=member.validation,
        test=member.test,
        test_sets=member.test_sets,
        hv_contribution=member.hv_contribution,
        front_probability=data.front_probabilities.get(number) if probability is None else probability,
        replicated=member.replicated,
        on_final_front=member.on_final_front,
        dominated_by=member.dominated_by,
        layers=tuple(data.state.records[number].info.layers),
        exported=_exported(data, member.name),
    )


def _metrics(
    data: StudyData, number: int, search: Mapping[str, float], validation: SeedSpread | None
) -> dict[str, float]:
    """Means over fresh seeds; what these do not know, and all before them, as the search has it, its quality smoothed.

    The quality of the search is its posterior mean where that is known.
    """
    found, mean = dict(search), data.posterior_means.get(number)
    if mean is not None and data.quality:
        found[data.quality[0]] = mean
    return found if validation is None else {**found, **validation.mean}


def baseline_row(data: StudyData, one: Baseline) -> FrontRow:
    """A baseline of final.json as a row, on the front or not."""
    trial = None if one.trial is None else data.state.records[one.trial]
    return FrontRow(
        name=one.name,
        trial=one.trial,
        source="baseline" if trial is None else trial.source,
        metrics=one.metrics,
        search={} if trial is None else costs_of(trial),
        recipe=one.config or {},
        baseline=True,
        validation=one.validation,
        test=one.test,
        test_sets=one.test_sets,
        replicated=one.validation is not None and len(one.validation.values) == len(data.final.seeds),
        on_final_front=one.on_final_front,
        layers=one.layers,
        exported=_exported(data, one.name),
    )


def _exported(data: StudyData, name: str) -> ExportedModel | None:
    return next((model for model in data.final.exported if model.name == name and not model.error), None)


def baseline_points(data: StudyData) -> list[tuple[str, Mapping[str, float]]]:
    """Names and metrics of the baselines: those of final.json, else the trials that the search itself began with."""
    found = [(baseline.name, baseline.metrics) for baseline in data.final.baselines if baseline.metrics]
    if found:
        return found
    return [(record.source, costs_of(record)) for record in data.state.complete() if record.source in BASELINE_NAMES]


def metric_direction(data: StudyData, name: str) -> str:
    """Whether a metric is better low or high, `min` or `max`; every recorded cost is better low."""
    return data.objectives.get(name, "min")
