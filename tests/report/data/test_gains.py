"""Gains over the dense recipe."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from autoreg.report.data.front import front_rows
from autoreg.report.data.gains import gains, quality_tolerance
from autoreg.report.data.load import StudyData

MakeStudy = Callable[..., Path]


def test_gains_are_ratios_to_dense_of_the_cheapest_member_that_is_good_enough(make_study: MakeStudy) -> None:
    """Checked against a search by hand over the rows, with means over fresh seeds where there are some."""
    data = StudyData.load(make_study(30, final=True))
    rows, bound = front_rows(data), 0.05
    good = [r for r in rows if r.validation is not None and r.validation.mean["error"] <= bound]
    cheapest = min(good, key=lambda r: r.metrics["flops"])
    gain = next(g for g in gains(data, rows, bound) if g.cost == "flops")
    assert gain.trial == cheapest.trial
    assert gain.ratio == pytest.approx(data.dense["flops"] / cheapest.metrics["flops"])
    assert gain.fresh
    assert all(g.trial is None for g in gains(data, rows, 0.0))
    one_seed = replace(cheapest, metrics={**cheapest.metrics, "error": 0.001}, validation=None)
    others = [r for r in rows if r.trial != cheapest.trial]
    gain = next(g for g in gains(data, [one_seed, *others], bound) if g.cost == "flops")
    assert gain.trial != one_seed.trial  # a member of one seed is no gain beside those that were re-evaluated
    alone = next(g for g in gains(data, [one_seed], bound) if g.cost == "flops")
    assert (alone.trial, alone.fresh) == (one_seed.trial, False)


def test_the_tolerance_is_a_share_of_the_distance_to_chance(make_study: MakeStudy) -> None:
    """2 % of the distance from the dense error 0.021 to chance at 0.9."""
    assert quality_tolerance(StudyData.load(make_study(3))) == pytest.approx(0.02 * (0.9 - 0.021))
