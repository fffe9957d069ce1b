"""Predictions of latency beside what was measured of the same trials."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from autoreg.report.data.load import StudyData


@dataclass(frozen=True)
class LatencyPrediction:
    """One measured latency and what the table predicted for it, in milliseconds.

    Attributes:
        trial: the first that has it.
        predicted: from the table.
        low: lower end of the interval that is meant to hold 9 of 10.
        high: its upper end.
        measured: median of timed runs.
        noisy: whether other processes disturbed the measurement.
        integers: whether some layer has weights and inputs of at most 8 bits.
    """

    trial: int
    predicted: float
    low: float
    high: float
    measured: float
    noisy: bool = False
    integers: bool = False

    @property
    def error(self) -> float:
        """|predicted - measured| / measured."""
        return abs(self.predicted - self.measured) / self.measured


def latency_predictions(data: StudyData) -> list[LatencyPrediction]:
    """Predictions of the study's distinct measured latencies: trials that share a measurement count once."""
    found: dict[tuple[object, ...], LatencyPrediction] = {}
    for record in data.state.records:
        measured, predicted = record.info.latency, record.info.latency_predicted
        if measured is None or predicted is None:
            continue
        integers = any(
            layer.weight_bits <= 8 and layer.activation_bits <= 8 for layer in record.info.layers if not layer.dropped
        )
        one = LatencyPrediction(
            record.number, predicted.ms, predicted.low, predicted.high, measured.ms, measured.noisy, integers
        )
        same = (measured.ms, measured.low, measured.high, measured.runs, measured.reference_ms)
        found.setdefault(same, one)
    return list(found.values())


def prediction_error_quantiles(pairs: Sequence[LatencyPrediction]) -> tuple[float, float]:
    """Median and 90th percentile of the relative errors of at least one prediction, interpolated between neighbours."""
    errors = [pair.error for pair in pairs]
    return float(np.quantile(errors, 0.5)), float(np.quantile(errors, 0.9))
