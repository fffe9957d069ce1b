"""Numbers of a trial's record: its costs and metrics, and what was predicted before it ran."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from autoreg.engine.log.records import Record
from autoreg.report.data.json_values import numbers


def costs_of(record: Record) -> dict[str, float]:
    """Costs and metrics of a trial: as measured, else as predicted before it ran."""
    return numbers(record.costs) | numbers(record.metrics)


def predictions_of(record: Record) -> Iterator[tuple[Any, ...]]:
    """Rows (trial, metric, mean, lower, upper, observed, trusted) of what was predicted before the trial ran.

    Only complete trials have an observed value: the last one of a pruned trial is of another fidelity.
    """
    prediction = record.prediction
    if prediction is None:
        return
    observed = numbers(record.metrics) if record.state == "COMPLETE" else {}
    bounds = [math.nan if end is None else end for end in (prediction.low, prediction.high)]
    for metric, value in prediction.objectives.items():
        yield (record.number, metric, value, *bounds, observed.get(metric, math.nan), prediction.trusted)
