"""What the time of a whole network is made of, beside the sum of its layers, and the fit of it.

Sums of single layers miss what lies between them (norms, activations, additions, quantizing) and count what the runtime
saves by fusing. Both follow from a few features of the levels; their weights are fitted on whole exported networks.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy
from numpy.typing import NDArray

from autoreg.costs.formulas import Costs
from autoreg.costs.levels import Levels
from autoreg.latency.table.layer_key import applied_layers
from autoreg.latency.table.table import LatencyTable
from autoreg.network.geometry import Geometry
from autoreg.trial_info import PredictedLatency

FEATURES = (
    "fp32_ms",
    "int8_ms",
    "int4_ms",
    "fp32_layers",
    "int8_layers",
    "int4_layers",
    "fp32_elements",
    "int8_elements",
    "quantized_elements",
    "rounded_elements",
    "functional_macs",
    "constant",
)
"""In order: milliseconds of the layers of each kind in the table; number of layers of each kind; numbers written by
layers in floating point and by integer layers; numbers read by integer layers, and by layers in floating point whose
input is rounded to a grid; multiply-accumulates without a layer (attention); one. Numbers and MACs in millions."""
ERROR_COVERAGE = 0.9  # fraction of the errors that lies within a prediction's interval
RIDGE_STRENGTH = 1e-3  # pulls weights of features that the sample cannot tell apart towards zero
LAYER_TIME_PRIOR = (
    0.01  # pulls the weights of layer times towards one: it decides where they are about 1 % of the whole
)
MILLION = 1e6


@dataclass(frozen=True)
class Correction:
    """Fitted weights of the features, and the relative errors (predicted / measured - 1) of a leave-one-out check.

    `under` and `over` enclose `ERROR_COVERAGE` of those errors. `median_error` and `p90_error` are quantiles of their
    size.
    """

    weights: Mapping[str, float]
    under: float
    over: float
    median_error: float
    p90_error: float
    samples: int

    def predict(self, row: Mapping[str, float]) -> PredictedLatency:
        """Milliseconds of a network with these features."""
        ms = sum(weight * row[name] for name, weight in self.weights.items())
        ends = sorted((ms / (1 + self.over), ms / (1 + self.under)))
        return PredictedLatency(ms, min(ends[0], ms), max(ends[1], ms))

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; `from_dict` reads it back."""
        return {**vars(self), "weights": dict(self.weights)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Correction:
        """Read what `to_dict` wrote.

        Raises:
            ValueError: the weights are not those of the features.
        """
        found = cls(**data)
        if found.weights.keys() != set(FEATURES) or not all(map(math.isfinite, found.weights.values())):
            raise ValueError(f"a correction has one number for each of {', '.join(FEATURES)}")
        return found


def features(
    table: LatencyTable, geometries: Mapping[str, Geometry], costs: Costs, levels: Levels, batch: int
) -> dict[str, float]:
    """Features of a compressed network, see `FEATURES`.

    Args:
        table: times of single layers.
        geometries: of the dense network at the batch that is timed.
        costs: of the levels.
        levels: say how integer weights are scaled.
        batch: samples in a timed call, which functional work grows with.

    Raises:
        InputError: the table has no layer of some geometry and kind.
    """
    row = dict.fromkeys(FEATURES, 0.0)
    row["constant"] = 1.0
    for layer in applied_layers(geometries, costs, levels):
        key, calls = layer.key, layer.calls
        row[f"{key.kind}_ms"] += calls * table.find(key).ms
        row[f"{key.kind}_layers"] += calls
        written, read = key.outputs * key.geometry.out_positions, key.inputs * key.geometry.in_positions
        row["int8_elements" if key.kind == "int8" else "fp32_elements"] += calls * written / MILLION
        if layer.rounded:
            row["quantized_elements" if key.kind == "int8" else "rounded_elements"] += calls * read / MILLION
    functional = costs.flops // 2 - sum(layer.macs for layer in costs.per_layer)
    row["functional_macs"] = functional * batch / MILLION
    return row


def fit(rows: Sequence[Mapping[str, float]], measured: Sequence[float]) -> Correction:
    """Fit the weights of the features by non-negative least squares on the relative error.

    Args:
        rows: features of whole networks.
        measured: their times in milliseconds, positive.

    Returns:
        The weights, with the errors that networks have when they are left out of the fit.
    """
    matrix = numpy.array([[row[name] for name in FEATURES] for row in rows], dtype=numpy.float64)
    times = numpy.asarray(measured, dtype=numpy.float64)
    every = numpy.arange(len(times))
    errors = numpy.zeros(1)
    if len(times) > 1:
        left_out = [float(matrix[i] @ _weights(matrix[every != i], times[every != i])) for i in every]
        errors = numpy.array(left_out) / times - 1
    tail = (1 - ERROR_COVERAGE) / 2
    return Correction(
        weights={name: float(value) for name, value in zip(FEATURES, _weights(matrix, times), strict=True)},
        under=float(numpy.quantile(errors, tail)),
        over=float(numpy.quantile(errors, 1 - tail)),
        median_error=float(numpy.quantile(numpy.abs(errors), 0.5)),
        p90_error=float(numpy.quantile(numpy.abs(errors), 0.9)),
        samples=len(times),
    )


def _weights(matrix: NDArray[numpy.float64], times: NDArray[numpy.float64]) -> NDArray[numpy.float64]:
    """Non-negative weights w that minimize |matrix w / times - 1|², with a slight pull to what is expected of them."""
    from scipy.optimize import nnls

    relative = matrix / times[:, None]
    size = numpy.sqrt((relative**2).mean(axis=0))
    size[size == 0] = 1.0
    scaled = relative / size
    layer_times = numpy.array([name.endswith("_ms") for name in FEATURES])
    strength = math.sqrt(len(times)) * numpy.where(layer_times, LAYER_TIME_PRIOR / size, RIDGE_STRENGTH)
    expected = strength * numpy.where(layer_times, size, 0.0)
    found, _ = nnls(numpy.vstack([scaled, numpy.diag(strength)]), numpy.concatenate([numpy.ones(len(times)), expected]))
    weights: NDArray[numpy.float64] = found / size
    return weights


def error_quantiles(predicted: Sequence[float], measured: Sequence[float]) -> tuple[float, float]:
    """Median and 90th percentile of |predicted - measured| / measured.

    Example:
        >>> median, ninth = error_quantiles([1.1, 2.0, 2.7], [1.0, 2.0, 3.0])
        >>> round(median, 3), round(ninth, 3)
        (0.1, 0.1)
    """
    errors = [abs(p - m) / m for p, m in zip(predicted, measured, strict=True)]
    return float(numpy.quantile(errors, 0.5)), float(numpy.quantile(errors, 0.9))
