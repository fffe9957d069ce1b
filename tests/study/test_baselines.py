"""The recipes that every search is compared with."""

from __future__ import annotations

from autoreg.engine.log.baseline_names import BASELINE_NAMES
from autoreg.study.baselines import baseline_recipes


def test_every_baseline_that_a_search_begins_with_is_known_to_the_report_by_name() -> None:
    """The report tells them from proposals by these names alone."""
    assert tuple(baseline_recipes(dict, {"training": {}})) == BASELINE_NAMES
