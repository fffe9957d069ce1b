"""Predicted against measured latency: errors, sentences, picture."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autoreg.latency.calibration import error_quantiles
from autoreg.report.data.load import StudyData
from autoreg.report.data.predicted_latency import LatencyPrediction, latency_predictions, prediction_error_quantiles
from autoreg.report.plots.latency import plot_latency
from autoreg.report.text.latency import predicted_latency_sentences
from tests.report.page.test_page import page_of

MakeStudy = Callable[..., Path]


def predict(folder: Path, factor: Callable[[int], float | None], **changes: Any) -> StudyData:
    """Write a prediction into each trial's record: its measured latency times a factor, none for None."""
    lines = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    for event in lines:
        if event["event"] == "tell" and "latency" in event["info"]:
            times = factor(event["trial"])
            event["info"]["latency"] |= changes
            if times is not None:
                ms = event["info"]["latency"]["ms"] * times
                event["info"]["latency_predicted"] = {"ms": ms, "low": 0.95 * ms, "high": 1.05 * ms}
    (folder / "events.jsonl").write_text("".join(json.dumps(e) + "\n" for e in lines))
    return StudyData.load(folder)


def test_errors_are_relative_to_what_was_measured() -> None:
    """Errors of 0, 10, ..., 100 %: the median is 50 %, the 90th percentile 90 %."""
    pairs = [LatencyPrediction(i, 2.0 * (1 + i / 10), 0.0, 9.0, 2.0) for i in range(11)]
    assert prediction_error_quantiles(pairs) == pytest.approx((0.5, 0.9))
    assert LatencyPrediction(0, 1.5, 1.0, 2.0, 2.0).error == pytest.approx(0.25)


def test_quantiles_are_those_of_the_table_builder() -> None:
    """The same numbers as `autoreg latency` prints, over random errors."""
    rng = np.random.default_rng(0)
    measured = rng.uniform(0.1, 9.0, 23)
    predicted = measured * rng.uniform(0.7, 1.4, 23)
    pairs = [LatencyPrediction(i, p, p, p, m) for i, (p, m) in enumerate(zip(predicted, measured, strict=True))]
    assert prediction_error_quantiles(pairs) == pytest.approx(error_quantiles(list(predicted), list(measured)))


def test_a_measurement_that_trials_share_counts_once(make_study: MakeStudy) -> None:
    """Only trials with both numbers count, and each distinct measurement once; integers follow from bits."""
    data = predict(make_study(30), lambda trial: 1.1 if trial % 2 == 0 else None)
    found = latency_predictions(data)
    both = [r for r in data.state.records if r.info.latency_predicted is not None]
    assert len(found) == len({r.info.latency.ms for r in both if r.info.latency is not None})
    assert {pair.trial for pair in found} <= {r.number for r in both}
    assert all(pair.predicted == pytest.approx(1.1 * pair.measured) for pair in found)
    bits = {r.number: r.info.layers[0] for r in both}
    assert all(
        pair.integers == (bits[pair.trial].weight_bits <= 8 and bits[pair.trial].activation_bits <= 8) for pair in found
    )


def test_the_sentences_hold_both_errors(make_study: MakeStudy) -> None:
    """That of this study, with how often the interval held, and that of the table when it was built."""
    table = {"entries": 1812, "error_median": 0.061, "error_p90": 0.174, "recipes": 50}
    data = predict(make_study(30, latency_table=table), lambda trial: 1.1 if trial else 1.0, noisy=True)
    count = len(latency_predictions(data))
    study, noisy, built = predicted_latency_sentences(data)
    assert f"Over {count} networks" in study
    assert "is 10\u00a0% at the median and 10\u00a0% at the 90th percentile" in study
    assert f"1 of {count} measurements are within the predicted interval" in study
    assert noisy == f"Other processes disturbed {count} of these measurements."
    assert built == (
        "When the table of 1,812 layer times was built, the error on 50 held-out recipes was 6\u00a0% at the median "
        "and 17\u00a0% at the 90th percentile."
    )


@pytest.mark.parametrize("table", [None, {}, {"entries": 3}, "none"])
def test_without_predictions_nothing_is_said(make_study: MakeStudy, table: Any) -> None:
    """Older studies have neither predictions nor a table."""
    data = StudyData.load(make_study(6, latency_table=table))
    assert predicted_latency_sentences(data) == []
    assert plot_latency(data) == "Predicted latency: no trial has both a predicted and a measured one."


def test_the_picture_has_a_point_for_each_measurement(make_study: MakeStudy) -> None:
    """Both axes are logarithmic and alike; the picture stands on the page."""
    data = predict(make_study(30), lambda trial: 1 + 0.01 * trial)
    figure = plot_latency(data)
    assert not isinstance(figure, str)
    ax = figure.axes[0]
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    assert ax.get_xlim() == ax.get_ylim()
    points = [line for line in ax.lines if line.get_marker() == "o"]
    assert sum(np.size(line.get_xdata()) for line in points) == len(latency_predictions(data))
    page = page_of(data.folder)
    assert "Latency was predicted from" in page.words
    assert (data.folder / "plots" / "latency.png").exists()
    assert ("img", "alt", "latency") in page.attributes
