"""The benchmark of the demo: what counts as dominated, and what the table says of its rows."""

from __future__ import annotations

import math

from autoreg.report.data.front import FrontRow
from benchmarks.demo import Outcome, dominates, table

OBJECTIVES = {"error": "min", "flops": "min"}


def row(error: float, flops: float) -> FrontRow:
    return FrontRow("one", None, "", {"error": error, "flops": flops}, {})


def test_costs_within_five_percent_are_equal_and_errors_are_not() -> None:
    assert dominates(row(0.1, 104.0), row(0.2, 100.0), OBJECTIVES)
    assert not dominates(row(0.1, 106.0), row(0.2, 100.0), OBJECTIVES)
    assert not dominates(row(0.1, 96.0), row(0.1, 100.0), OBJECTIVES)  # equal in both
    assert dominates(row(0.1, 90.0), row(0.1, 100.0), OBJECTIVES)
    assert not dominates(row(0.1001, 50.0), row(0.1, 100.0), OBJECTIVES)


def test_the_table_counts_runs_that_meet_the_bounds() -> None:
    def one(seed: int, flops: float, time: float, dominated: int, volume: float) -> Outcome:
        return Outcome(seed, 60.0, 200.0, 0.02, 0.026, flops, time, dominated, volume, 0.01)

    page = table([one(0, 0.2, 0.3, 0, 0.2), one(1, 0.1, 0.4, 1, 0.3), one(2, math.nan, math.nan, 0, 0.25)])
    assert "a third of the time: 1 of 3 runs" in page
    assert "without a dominated member: 2" in page
    assert "spread by 0.40 of their mean" in page
    assert page.count("\n| ") == 3
