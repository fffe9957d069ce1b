"""What beats what, in sentences: the front against the dense network and the other baselines."""

from __future__ import annotations

import math
from collections.abc import Sequence

from autoreg.engine.log.baseline_names import DENSE
from autoreg.report.data.front import FrontRow
from autoreg.report.data.gains import DenseQuality, Gain, dense_quality, gains, quality_bounds
from autoreg.report.data.load import StudyData
from autoreg.report.data.optimism import optimism, validation_samples
from autoreg.report.text.metrics import format_metric, format_spread, metric_title, percent

COST_WORDS = {"latency_ms": "time", "file_bytes": "file size"}
COMPARED_COSTS = ("flops", "latency_ms", "bytes")  # of a study none of whose objectives is a recorded cost
NO_DIFFERENCE = 0.005  # of the dense cost: a cost that is the same is not named
CLEARLY_CHEAPER = 1.05  # by this factor another member must be cheaper to be named too


def comparison_sentences(data: StudyData, rows: Sequence[FrontRow], left: Sequence[FrontRow]) -> list[str]:
    """What beats what on a front.

    Args:
        data: a loaded study.
        rows: its front.
        left: members that left it with fresh seeds.

    Returns:
        A sentence on the dense network where one is on record, and after the final evaluation one on the baselines.
    """
    dense = dense_quality(data)
    found = [] if dense is None or not rows else [_against_dense(data, rows, dense)]
    found = [sentence for sentence in found if sentence]
    if data.is_final and data.final.baselines:
        found += _against_baselines(rows, left)
    return found


def _against_dense(data: StudyData, rows: Sequence[FrontRow], dense: DenseQuality) -> str:
    bounds = quality_bounds(data, dense)
    equal = _compared(data, rows, bounds.equal)
    if not equal:
        return ""
    title, value = metric_title(data.main_objective), _dense_text(data, dense)
    by = "" if data.is_final else "Before fresh seeds, "
    won = [(gain.cost, gain.row) for gain in equal if gain.met and gain.row and (gain.ratio or 0.0) > CLEARLY_CHEAPER]
    if won:
        _, first = won[0]
        own = format_metric(data.main_objective, first.metrics[data.main_objective])
        text = f"{by}{_name(first, by)} is as good as the dense network ({title} {own} against {value}"
        text += f"{_test_text(data, first, dense)}) at {_costs_text(data, first)}"
        cheaper = [(c, r) for c, r in won[1:] if first.metrics.get(c, math.inf) > CLEARLY_CHEAPER * r.metrics[c]]
        return "; ".join([text, *(_other_text(data, cost, row) for cost, row in cheaper)]) + "."
    text = f"{by}{'no' if by else 'No'} member is as good as the dense network ({title} {value}) at lower cost"
    if bounds.standard_error is not None:
        for gain in _compared(data, rows, bounds.standard_error):
            if gain.met and gain.row is not None and (gain.ratio or 0.0) > 1:
                return f"{text}; cheapest within one standard error: {_nearest_text(data, gain.row, dense)}."
    nearest = next((gain.row for gain in equal if gain.row is not None and not gain.met), None)
    return f"{text}." if nearest is None else f"{text}; nearest: {_nearest_text(data, nearest, dense)}."


def _compared(data: StudyData, rows: Sequence[FrontRow], bound: float) -> list[Gain]:
    """The gains in costs that are objectives, in their order; without such costs in those that are compared always."""
    by_cost = {gain.cost: gain for gain in gains(data, rows, bound)}
    return [by_cost[cost] for cost in _costs(data) if cost in by_cost]


def _costs(data: StudyData) -> list[str]:
    objectives = [name for name in data.objectives if name in data.cost_metrics]
    return objectives or [name for name in COMPARED_COSTS if name in data.cost_metrics]


def _name(row: FrontRow, before: str = "") -> str:
    name = f"baseline {row.name}" if row.baseline else row.name
    return name if before else name[0].upper() + name[1:]


def _dense_text(data: StudyData, dense: DenseQuality) -> str:
    return format_spread(data.main_objective, dense.spread) or format_metric(data.main_objective, dense.value)


def _test_text(data: StudyData, row: FrontRow, dense: DenseQuality) -> str:
    mine, other = (format_spread(data.main_objective, spread) for spread in (row.test, dense.test))
    return f"; on test data {mine} against {other}" if mine and other else ""


def _costs_text(data: StudyData, row: FrontRow) -> str:
    parts = []
    for cost in _costs(data):
        dense, mine = data.dense.get(cost), row.metrics.get(cost)
        if dense and mine and abs(mine / dense - 1) > NO_DIFFERENCE:
            parts.append(f"{share_text(mine / dense)} of its {COST_WORDS.get(cost, metric_title(cost))}")
    return " and ".join(parts)


def _other_text(data: StudyData, cost: str, row: FrontRow) -> str:
    own = format_metric(data.main_objective, row.metrics[data.main_objective])
    word = COST_WORDS.get(cost, metric_title(cost))
    return f"{_name(row, ' ')} ({own}) at {share_text(row.metrics[cost] / data.dense[cost])} of its {word}"


def _nearest_text(data: StudyData, row: FrontRow, dense: DenseQuality) -> str:
    own = format_metric(data.main_objective, row.metrics[data.main_objective])
    return f"{_name(row, ' ')} ({own}{_test_text(data, row, dense)}) at {_costs_text(data, row)}"


def share_text(ratio: float) -> str:
    """A cost as a share of the dense one: `1/6`, or from a third on `41 %`."""
    return f"1/{round(1 / ratio)}" if 0 < ratio < 0.34 else percent(ratio)


def _against_baselines(rows: Sequence[FrontRow], left: Sequence[FrontRow]) -> list[str]:
    on = [row.name for row in rows if row.baseline and row.name != DENSE]
    which = f"Baselines on the front: {', '.join(on)}." if on else "No other baseline is on the front."
    beaten: dict[str, list[str]] = {}
    for row in left:
        if row.dominated_by and not row.dominated_by.startswith("trial "):
            beaten.setdefault(row.dominated_by, []).append(row.name)
    lost = [f"Baseline {name} dominates {', '.join(rows)}, no longer on the front." for name, rows in beaten.items()]
    return [which, *lost]


def optimism_sentence(data: StudyData) -> str:
    """How optimistic the choice of members was; empty before they are re-evaluated."""
    found = optimism(data)
    if found is None:
        return ""
    title = metric_title(data.main_objective)
    error = "" if found.standard_error is None else f" ± {found.standard_error:.2g}"
    chosen = "" if found.posterior is None else f", and {found.posterior:+.2g} from the posterior mean that chose them"
    return (
        f"Optimism: over the {found.members} members that were re-evaluated, {title} with fresh seeds differs by "
        f"{found.observed:+.2g}{error} from the value that the search saw{chosen}; above 0, the search saw too good "
        f"a value.{_half_error_text(data, found.half_error)}"
    )


def _half_error_text(data: StudyData, half: float | None) -> str:
    if half is None:
        return ""
    return f" Half a standard error of {validation_samples(data):,} validation samples is {half:.2g}."
