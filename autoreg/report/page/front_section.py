"""The front as a table of the page: members with their recipes, and the baselines under them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from autoreg.report.data.front import FrontRow, baseline_row, left_rows
from autoreg.report.data.load import StudyData
from autoreg.report.data.seed_spread import SeedSpread
from autoreg.report.page.tables import Cell, Column, PageTable, Row, text_cells
from autoreg.report.text.comparison import comparison_sentences, optimism_sentence
from autoreg.report.text.front import value_text, value_title
from autoreg.report.text.metrics import format_metric, format_spread, metric_title, plural
from autoreg.report.text.phrase import recipe_phrase
from autoreg.report.text.trials import no_front_sentence

MAX_FRONT_ROWS = 100


@dataclass(frozen=True)
class FrontSection:
    """The section of the front.

    Attributes:
        chart: whether the interactive chart stands above the table.
        comparison: what beats what.
        table: None where there is no front.
        sentences: what must be known to read the table, or why there is no front.
        left_out: members that only front.csv has.
        left: members that left the front with fresh seeds; None where there are none.
    """

    chart: bool
    table: PageTable | None
    sentences: Sequence[str]
    comparison: Sequence[str] = ()
    left_out: int = 0
    left: PageTable | None = None


@dataclass(frozen=True)
class _Columns:
    """Which columns the table has: metrics, quality when chosen and on test data, test sets; and their headings."""

    metrics: Sequence[str]
    headings: Sequence[str]
    searched: Sequence[str]
    tested: Sequence[str]
    test_sets: Sequence[str]
    probability: bool

    @classmethod
    def of(cls, data: StudyData, rows: Sequence[FrontRow]) -> _Columns:
        costs = [c for c in data.cost_metrics if c not in ("params", "weights") or c in data.objectives]
        others = [o for o in data.objectives if o not in data.quality and o not in costs]
        sets = sorted({name for row in rows for name in row.test_sets})
        metrics = [*data.quality, *others, *costs]
        return cls(
            metrics=metrics,
            headings=[value_title(data, rows, name) for name in metrics],
            searched=[q for q in data.quality if any(r.search.get(q) != r.metrics.get(q) for r in rows)],
            tested=[q for q in data.quality if any(format_spread(q, r.test) for r in rows)],
            test_sets=sets if len(sets) > 1 else [],
            probability=any(r.front_probability is not None for r in rows),
        )

    def titles(self) -> list[str]:
        found = [*self.headings, *(f"{metric_title(name)}, test" for name in self.tested)]
        found += [f"{metric_title(name)} when chosen" for name in self.searched]
        found += [f"test: {name}" for name in self.test_sets]
        return [*found, "P(on front)"] if self.probability else found

    def texts(self, data: StudyData, row: FrontRow) -> list[str]:
        found = [value_text(data, row, name) for name in self.metrics]
        found += [format_spread(name, row.test) for name in self.tested]
        found += [format_metric(name, row.search.get(name)) for name in self.searched]
        found += [_quality_text(data, row.test_sets.get(name)) for name in self.test_sets]
        likely = row.front_probability
        return [*found, "" if likely is None else f"{likely:.0%}"] if self.probability else found


def _quality_text(data: StudyData, spread: SeedSpread | None) -> str:
    return ", ".join(text for text in (format_spread(name, spread) for name in data.quality) if text)


def front_section(data: StudyData, rows: Sequence[FrontRow], *, chart: bool) -> FrontSection:
    """Members of the front with their recipes, and the baselines under them."""
    if not rows:
        return FrontSection(chart, None, [f"There is no front: {no_front_sentence(data)}"])
    gone = left_rows(data)
    columns = _Columns.of(data, [*rows, *gone])
    head = [Column("trial", "num"), Column("recipe", "recipe"), *(Column(t, "num") for t in columns.titles())]
    body = [_row(data, columns, row) for row in rows[:MAX_FRONT_ROWS]]
    named = {row.name for row in rows if row.baseline}
    others = [baseline_row(data, one) for one in data.final.baselines if one.name not in named]
    reasons = {one.name: one.reason for one in data.final.baselines}
    body += [_row(data, columns, row, reasons[row.name]) for row in others]
    left = PageTable(head, [_row(data, columns, row) for row in gone]) if gone else None
    return FrontSection(
        chart,
        PageTable(head, body),
        _sentences(data, [*rows, *gone], columns),
        comparison_sentences(data, rows, gone),
        max(0, len(rows) - MAX_FRONT_ROWS),
        left,
    )


def _row(data: StudyData, columns: _Columns, row: FrontRow, failure: str = "") -> Row:
    """A member, a baseline on the front (marked as both), or another baseline; `failure` says why it has no values."""
    css = "gone" if row.on_final_front is False and not row.baseline else "baseline" if row.baseline else ""
    if row.baseline and row.on_final_front:
        css = "baseline on-front"
    remark = f"dominated by {row.dominated_by}" if row.dominated_by else "dominated" if css == "gone" else ""
    short = recipe_phrase(row.recipe) if row.recipe else ""
    recipe = Cell(short, _json(row.recipe), remark=remark)
    if row.baseline:
        phrase = f"{'on the front, ' if row.on_final_front else ''}baseline: {row.name}"
        phrase += f" (failed: {failure})" if failure else ""
        note = "" if short == row.name else short
        recipe = Cell(phrase, _json(row.recipe), note=note) if row.recipe else Cell(phrase)
    number = "" if row.trial is None else str(row.trial)
    return Row([Cell(number), recipe, *text_cells(*columns.texts(data, row))], css)


def _json(config: Mapping[str, Any]) -> str:
    return json.dumps(config, indent=1)


def _sentences(data: StudyData, rows: Sequence[FrontRow], columns: _Columns) -> list[str]:
    found = []
    validated = [row.validation for row in rows if row.validation is not None and not row.baseline]
    if validated:
        seeds = max(len(validation.values) for validation in validated)
        found.append(
            f"{plural(len(validated), 'member')} of the front of the search and the baselines were re-evaluated with "
            f"{plural(seeds, 'fresh seed')}: mean ± standard deviation on validation data. The front is what none of "
            "them dominates; costs within 5\u00a0% count as equal when a baseline is compared with a member."
        )
        size = data.final.front_size or 0
        if size > len(data.final.members):
            found.append(f"The front of the search had {size} members; those that make up most of it were taken.")
        found.append(optimism_sentence(data))
    else:
        found.append("No member has been re-evaluated with fresh seeds yet.")
        if data.posterior_means:
            found.append(
                "Qualities are posterior means, which draw what was observed towards what similar recipes reach."
            )
    if columns.searched:
        found.append("Values when chosen are from the seed of the search, so they are optimistic.")
    if columns.tested:
        uses = len(data.final.test_uses)
        often = "once" if uses <= 1 else f"{uses} times, after each end of the search"
        found.append(f"Test data was used {often}, after the front was fixed; nothing was selected on it.")
    if columns.probability:
        found.append("P(on front) is the probability that a member is on the front when seeds are drawn anew.")
    return [sentence for sentence in found if sentence]
