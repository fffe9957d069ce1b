"""The sections of the page as plain values: figures at the top, setup, gains, failures, the search, test data."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from autoreg.report.data.front import FrontRow, left_rows
from autoreg.report.data.gains import Gain, dense_quality, dense_trainings, gains, quality_bounds
from autoreg.report.data.load import StudyData
from autoreg.report.data.predictor_scores import predictor_scores
from autoreg.report.page.tables import Cell, Column, PageTable, Picture, Row, picture, text_cells
from autoreg.report.plots.write import Plots
from autoreg.report.text.metrics import format_metric, metric_title, plural
from autoreg.report.text.predictor import score_phrase
from autoreg.report.text.progress import duration
from autoreg.report.text.trials import failures, pruning_sentence, state_counts, uses_of_test_data
from autoreg.report.text.warm_start import warm_start_sentences

MAX_LISTED_TRIALS = 12


@dataclass(frozen=True)
class Card:
    """One figure at the top of the page: its value, its name, and a remark."""

    value: str
    name: str
    remark: str = ""


def summary_cards(data: StudyData, rows: Sequence[FrontRow], hypervolume: float | None) -> list[Card]:
    """The figures to see first."""
    counts = state_counts(data)
    complete = counts.pop("complete", 0)
    rest = ", ".join(f"{count} {word}" for word, count in counts.items())
    left = len(left_rows(data))
    found = [
        Card(str(complete), "complete trials", rest or f"of {len(data.trials)}"),
        Card(str(len(rows)), "on the front", _front_remark(rows, left)),
    ]
    if hypervolume is not None:
        found.append(Card(f"{hypervolume:.3f}", "hypervolume", "normalized by a scale fixed at the start"))
    requested = float(data.effort("epochs_requested").sum())
    if requested:
        times = dense_trainings(data)
        remark = f"{requested:,.0f} requested"
        remark = f"{times:,.3g} dense trainings; {remark}" if times else remark
        found.append(Card(f"{data.epochs_run:,.0f}", "epochs run", remark))
    seconds = float(data.effort("seconds").sum())
    if seconds:
        found.append(Card(duration(seconds), "trial time", "summed over trials"))
    return found


def _front_remark(rows: Sequence[FrontRow], left: int) -> str:
    baselines = sum(row.baseline for row in rows)
    parts = [plural(baselines, "baseline") + " among them" if baselines else "", f"{left} left it" if left else ""]
    return ", ".join(part for part in parts if part)


@dataclass(frozen=True)
class SetupSection:
    """Task, space, objectives, budget and machine.

    Attributes:
        note: a remark of the task, empty without one.
        facts: name and value.
        space: the whole space as JSON, empty where it is not on record.
    """

    note: str
    facts: Sequence[tuple[str, str]]
    space: str


def setup_section(data: StudyData) -> SetupSection:
    """The study as it was configured."""
    content = data.config.content
    space = content.get("space")
    varied = [p for p in data.parameters if data.trials[p].nunique(dropna=False) > 1]
    facts = [
        ("task", _task_text(content.get("task"))),
        ("samples", _samples_text(data.config.samples)),
        ("space", _text((space.get("name") if isinstance(space, Mapping) else space) or "without a name")),
        ("space digest", _text(content.get("space_digest") or content.get("digest"))),
        ("parameters that varied", str(len(varied))),
        ("objectives", ", ".join(f"{metric_title(name)} ({d})" for name, d in data.objectives.items())),
        ("constraints", ", ".join(data.config.constraints)),
        ("budget", _text(content.get("budget"))),
        ("seed", _text(content.get("seed"))),
        ("sampler", _text(content.get("sampler"))),
        ("versions", _text(content.get("versions"))),
        ("machine", _text(content.get("machine"))),
    ]
    return SetupSection(
        note=_text(content.get("task_note")),
        facts=[(name, value) for name, value in facts if value],
        space=json.dumps(space, indent=2) if isinstance(space, Mapping) else "",
    )


def _samples_text(samples: Mapping[str, int]) -> str:
    """`360 validation, 540 test, in the first of 4 folds`; without what is not known."""
    parts = [f"{samples[name]:,} {name}" for name in ("validation", "test") if name in samples]
    folds = samples.get("folds", 1)
    return ", ".join([*parts, *([f"in the first of {folds} folds"] if folds > 1 and parts else [])])


def _text(value: Any) -> str:
    """A value of study.json in words: mappings as `a: 1, b: 2`, lists joined; empty for none."""
    if isinstance(value, Mapping):
        return ", ".join(f"{k}: {_text(v)}" if v != {} else str(k) for k, v in value.items() if v is not None)
    if isinstance(value, list | tuple):
        return ", ".join(_text(v) for v in value)
    return "" if value is None else str(value)


def _task_text(task: Any) -> str:
    if not task:
        return "Python objective"
    if isinstance(task, Mapping) and "name" in task:
        params = _text(task.get("params"))
        return f"{task['name']} ({params})" if params else str(task["name"])
    return _text(task)


@dataclass(frozen=True)
class GainSection:
    """Gains over the dense recipe: sentences, and a table where there is something to compare with."""

    sentences: Sequence[str]
    table: PageTable | None = None


def gain_section(data: StudyData, rows: Sequence[FrontRow]) -> GainSection:
    """The gain over the dense recipe, beside the cost of the search."""
    quality = dense_quality(data)
    if not rows:
        return GainSection(["There is no front to compare with the dense recipe."])
    if quality is None or not data.quality:
        return GainSection(["There is no dense recipe on record to compare with."])
    name, bounds = data.quality[0], quality_bounds(data, quality)
    relation = "≤" if data.objectives[name] == "min" else "≥"
    degrees = [
        (bounds.equal, "as dense"),
        (bounds.standard_error, "within one standard error"),
        (bounds.nearly, "nearly"),
    ]
    known = [(bound, word) for bound, word in degrees if bound is not None]
    columns = [gains(data, rows, bound) for bound, _ in known]
    if not columns[0]:
        return GainSection(["The study recorded no cost of the dense recipe."])
    title = metric_title(name)
    head = [Column("cost"), Column("dense", "num")]
    head += [Column(f"{title} {relation} {bound:.4g} ({word})", "num") for bound, word in known]
    body = [
        Row(
            text_cells(
                metric_title(own[0].cost), format_metric(own[0].cost, own[0].dense), *(gain_text(g, name) for g in own)
            )
        )
        for own in zip(*columns, strict=True)
    ]
    sentences = [
        "Cost of the dense recipe over that of the cheapest of the front whose quality is at least that of the dense "
        "recipe, or nearly: within 2\u00a0% of the distance to chance level. Where none is, the one nearest to it of "
        "those that are cheaper."
    ]
    times = dense_trainings(data)
    if times:
        sentences.append(f"The search ran {times:,.3g} times the epochs of one dense training.")
    return GainSection(sentences, PageTable(head, body))


def gain_text(gain: Gain, quality: str) -> str:
    """`2.1× (trial 7: 0.8M)`; else `none; nearest: 3.2× (trial 9: 0.5M, error 0.025)`, or `none is cheaper`."""
    if gain.row is None or gain.ratio is None:
        return "none is cheaper"
    seeds = "" if gain.fresh else ", one seed"
    reached = "" if gain.met else f", {metric_title(quality)} {format_metric(quality, gain.row.metrics[quality])}"
    found = f"{gain.ratio:.2g}× ({gain.row.name}: {format_metric(gain.cost, gain.value)}{reached}{seeds})"
    return found if gain.met else f"none; nearest: {found}"


def failure_table(data: StudyData) -> PageTable | None:
    """Failed trials, grouped by reason; None where none failed."""
    found = failures(data)
    if not found:
        return None
    rows = []
    for reason, trials in found:
        more = " …" if len(trials) > MAX_LISTED_TRIALS else ""
        listed = ", ".join(map(str, trials[:MAX_LISTED_TRIALS])) + more
        rows.append(Row([Cell(str(len(trials))), Cell(reason), Cell(listed)]))
    return PageTable([Column("trials", "num"), Column("reason"), Column("numbers")], rows)


@dataclass(frozen=True)
class SearchSection:
    """Hypervolume, cost, importance of parameters, and how well the surrogate predicted.

    Attributes:
        hypervolume: the picture, likewise `cost`, `importance` and `predictor`; None where there is nothing to show.
        pruning: a sentence, empty where no trial was pruned.
        warm_start: sentences, empty for a cold start.
        scores: a line for each metric that was predicted.
    """

    hypervolume: Picture | None
    cost: Picture | None
    importance: Picture | None
    predictor: Picture | None
    pruning: str
    warm_start: Sequence[str]
    scores: Sequence[str]


def search_section(data: StudyData, plots: Plots) -> SearchSection:
    """The search itself."""
    return SearchSection(
        hypervolume=picture(plots, "hypervolume", "wide"),
        cost=picture(plots, "cost", "wide"),
        importance=picture(plots, "importance", "wide"),
        predictor=picture(plots, "predictor"),
        pruning=pruning_sentence(data),
        warm_start=warm_start_sentences(data),
        scores=[f"{metric_title(score.metric)}: {score_phrase(score)}" for score in predictor_scores(data)],
    )


@dataclass(frozen=True)
class UsesOfTestData:
    """Uses of test data: a line each, a warning when the search went on after one, or why there is none."""

    uses: Sequence[str]
    warning: str
    sentence: str = ""


def uses_section(data: StudyData) -> UsesOfTestData:
    """Uses of test data."""
    uses, warning = uses_of_test_data(data)
    if uses:
        return UsesOfTestData(uses, warning)
    task = bool(data.config.content.get("task"))
    return UsesOfTestData(
        (), "", "Test data has not been used." if task else "A Python objective has no test data here."
    )
