"""Gains over the dense recipe."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from autoreg.report.data.front import front_rows
from autoreg.report.data.gains import DenseQuality, gains, quality_bounds
from autoreg.report.data.load import StudyData
from autoreg.report.data.seed_spread import SeedSpread
from autoreg.report.page.sections import gain_text

MakeStudy = Callable[..., Path]


def test_gains_are_ratios_to_dense_of_the_cheapest_member_that_is_good_enough(make_study: MakeStudy) -> None:
    """Checked against a search by hand over the rows, with means over fresh seeds where there are some."""
    data = StudyData.load(make_study(30, final=True))
    rows, bound = front_rows(data), 0.05
    good = [r for r in rows if r.validation is not None and r.validation.mean["error"] <= bound]
    cheapest = min(good, key=lambda r: r.metrics["flops"])
    gain = next(g for g in gains(data, rows, bound) if g.cost == "flops")
    assert (gain.met, gain.row) == (True, cheapest)
    assert gain.ratio == pytest.approx(data.dense["flops"] / cheapest.metrics["flops"])
    assert gain.fresh
    one_seed = replace(cheapest, metrics={**cheapest.metrics, "error": 0.001}, validation=None)
    other = replace(cheapest, name="trial 99", trial=99)
    gain = next(g for g in gains(data, [one_seed, other], bound) if g.cost == "flops")
    assert gain.row == other  # a member of one seed is no gain beside those that were re-evaluated
    alone = next(g for g in gains(data, [one_seed], bound) if g.cost == "flops")
    assert (alone.row, alone.fresh) == (one_seed, False)


def test_where_none_is_good_enough_the_nearest_of_the_cheaper_stands_there(make_study: MakeStudy) -> None:
    """Found by hand; the dense network itself is no gain over itself."""
    data = StudyData.load(make_study(30, final=True))
    rows = front_rows(data)
    found = gains(data, rows, 0.0)
    assert not any(gain.met for gain in found)
    for gain in found:
        cheaper = [row for row in rows if row.metrics[gain.cost] < data.dense[gain.cost] and row.source != "dense"]
        assert gain.row is not None
        assert gain.row.metrics["error"] == min(row.metrics["error"] for row in cheaper)
    assert gain_text(found[0], "error").startswith("none; nearest: ")
    dense = replace(rows[0], name="dense", metrics={**data.dense, "error": 0.0}, validation=None)
    (alone, *_) = gains(data, [dense], 1.0)
    assert (alone.row, gain_text(alone, "error")) == (None, "none is cheaper")


def test_three_degrees_of_as_good_as_dense(make_study: MakeStudy) -> None:
    """Its mean, one standard error more (of three seeds), and 2 % of the distance from 0.021 to chance at 0.9."""
    data = StudyData.load(make_study(3))
    bounds = quality_bounds(data, DenseQuality(0.021))
    assert (bounds.equal, bounds.standard_error) == (0.021, None)
    assert bounds.nearly == pytest.approx(0.021 + 0.02 * (0.9 - 0.021))
    seeds = [{"error": error} for error in (0.018, 0.021, 0.024)]
    fresh = DenseQuality(0.021, SeedSpread({"error": 0.021}, {"error": 0.003}, tuple(seeds)))
    assert quality_bounds(data, fresh).standard_error == pytest.approx(0.021 + 0.003 / 3**0.5)
