"""The front as a table of the page: members with their recipes, and the baselines under them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from autoreg.report.data.final_results import Baseline, SeedSpread
from autoreg.report.data.front import FrontRow
from autoreg.report.data.load import StudyData
from autoreg.report.page.tables import Cell, Column, PageTable, Row, text_cells
from autoreg.report.text.metrics import format_metric, format_spread, metric_title
from autoreg.report.text.phrase import recipe_phrase
from autoreg.report.text.trials import no_front_sentence

MAX_FRONT_ROWS = 100


@dataclass(frozen=True)
class FrontSection:
    """The section of the front.

    Attributes:
        chart: whether the interactive chart stands above the table.
        table: None where there is no front.
        sentences: what must be known to read the table, or why there is no front.
        left_out: members that only front.csv has.
    """

    chart: bool
    table: PageTable | None
    sentences: Sequence[str]
    left_out: int = 0


@dataclass(frozen=True)
class _Columns:
    """Which columns the table has: metrics of the search, quality over fresh seeds and on test data, test sets."""

    metrics: Sequence[str]
    validated: Sequence[str]
    tested: Sequence[str]
    test_sets: Sequence[str]
    probability: bool

    @classmethod
    def of(cls, data: StudyData, rows: Sequence[FrontRow]) -> _Columns:
        costs = [c for c in data.cost_metrics if c not in ("params", "weights") or c in data.objectives]
        others = [o for o in data.objectives if o not in data.quality and o not in costs]
        sets = sorted({name for row in rows for name in row.test_sets})
        return cls(
            metrics=[*data.quality, *others, *costs],
            validated=[q for q in data.quality if any(format_spread(q, r.validation) for r in rows)],
            tested=[q for q in data.quality if any(format_spread(q, r.test) for r in rows)],
            test_sets=sets if len(sets) > 1 else [],
            probability=any(r.front_probability is not None for r in rows),
        )

    def titles(self) -> list[str]:
        found = [metric_title(name) for name in self.metrics]
        found += [f"{metric_title(name)}, fresh seeds" for name in self.validated]
        found += [f"{metric_title(name)}, test" for name in self.tested]
        found += [f"test: {name}" for name in self.test_sets]
        return [*found, "P(on front)"] if self.probability else found

    def texts(self, data: StudyData, row: FrontRow | Baseline, probability: float | None) -> list[str]:
        found = [format_metric(name, row.metrics.get(name)) for name in self.metrics]
        found += [format_spread(name, row.validation) for name in self.validated]
        found += [format_spread(name, row.test) for name in self.tested]
        found += [_quality_text(data, row.test_sets.get(name)) for name in self.test_sets]
        return [*found, "" if probability is None else f"{probability:.0%}"] if self.probability else found


def _quality_text(data: StudyData, spread: SeedSpread | None) -> str:
    return ", ".join(text for text in (format_spread(name, spread) for name in data.quality) if text)


def front_section(data: StudyData, rows: Sequence[FrontRow], *, chart: bool) -> FrontSection:
    """Members of the front with their recipes, and the baselines under them."""
    if not rows:
        return FrontSection(chart, None, [f"There is no front: {no_front_sentence(data)}"])
    columns = _Columns.of(data, rows)
    head = [Column("trial", "num"), Column("recipe", "recipe"), *(Column(t, "num") for t in columns.titles())]
    body = [_member_row(data, columns, row) for row in rows[:MAX_FRONT_ROWS]]
    body += [_baseline_row(data, columns, baseline) for baseline in data.final.baselines]
    left_out = max(0, len(rows) - MAX_FRONT_ROWS)
    return FrontSection(chart, PageTable(head, body), _sentences(data, rows, columns), left_out)


def _member_row(data: StudyData, columns: _Columns, row: FrontRow) -> Row:
    gone = row.on_final_front is False
    recipe = Cell(recipe_phrase(row.recipe), _json(row.recipe), remark="dominated with fresh seeds" if gone else "")
    texts = columns.texts(data, row, row.front_probability)
    return Row([Cell(str(row.trial)), recipe, *text_cells(*texts)], "gone" if gone else "")


def _baseline_row(data: StudyData, columns: _Columns, baseline: Baseline) -> Row:
    phrase = f"baseline: {baseline.name}" + (f" (failed: {baseline.reason})" if baseline.reason else "")
    recipe = Cell(phrase)
    if baseline.config is not None:
        short = recipe_phrase(baseline.config)
        recipe = Cell(phrase, _json(baseline.config), note="" if short == baseline.name else short)
    return Row([Cell(""), recipe, *text_cells(*columns.texts(data, baseline, None))], "baseline")


def _json(config: Mapping[str, Any]) -> str:
    return json.dumps(config, indent=1)


def _sentences(data: StudyData, rows: Sequence[FrontRow], columns: _Columns) -> list[str]:
    found = ["Metrics of the search are from the seed that selected the trial, so they are optimistic."]
    validated = [(row.trial, row.validation) for row in rows if row.validation is not None]
    if columns.validated:
        seeds = max(len(validation.values) for _, validation in validated)
        trials = ", ".join(map(str, sorted(trial for trial, _ in validated)))
        every = len(validated) == len(rows)
        which = "All members" if every else f"Members {trials} (those with the largest hypervolume contribution)"
        found.append(
            f"{which} were re-evaluated with {seeds} fresh seeds: mean ± standard deviation on validation data."
        )
        if any(row.on_final_front is False for row in rows):
            found.append("Those that the fresh seeds showed to be dominated were not scored on test data.")
    else:
        found.append("No member has been re-evaluated with fresh seeds yet.")
    if columns.tested:
        uses = len(data.final.test_uses)
        often = "once" if uses <= 1 else f"{uses} times, after each end of the search"
        found.append(f"Test data was used {often}, after the front was fixed; nothing was selected on it.")
    if columns.probability:
        found.append("P(on front) is the probability that a member is on the front when seeds are drawn anew.")
    return found
