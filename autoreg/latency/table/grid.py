"""Times of layers between those that were measured, and which to measure. Loads without torch."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from autoreg.latency.table.layer_key import LayerKey

MAX_MEASURED_LAYERS = (
    3000  # entries that are measured one by one; above it a grid of them is measured and the rest interpolated
)
_AXIS = 16  # levels along an axis of the finest grid that is tried


@dataclass(frozen=True)
class LayerTime:
    """Median time of one layer in milliseconds, with its 95 % interval; `noisy` when no try went undisturbed."""

    ms: float
    low: float
    high: float
    runs: int = 0
    noisy: bool = False

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> LayerTime:
        """Read what `dataclasses.asdict` gives.

        Raises:
            ValueError: a time is no positive number.
        """
        found = cls(**data)
        if not all(math.isfinite(value) and value > 0 for value in (found.ms, found.low, found.high)):
            raise ValueError(f"times of a layer are positive numbers, found {found}")
        return found

    @property
    def uncertainty(self) -> tuple[bool, float]:
        """Of two measurements of one layer, the one with less of it stands: disturbed or not, then the spread."""
        return self.noisy, (self.high - self.low) / self.ms


def interpolate(family: Mapping[tuple[int, int], LayerTime], key: LayerKey) -> LayerTime:
    """Time of a layer from those that differ in channels alone; see `LatencyTable.find`.

    Args:
        family: entries by (inputs, outputs), at least one.
        key: the layer.
    """
    at = (key.inputs, key.outputs)
    corners = _rectangle(family, at)
    if corners is None:
        near = min(family, key=lambda one: abs(math.log(one[0] / at[0])) + abs(math.log(one[1] / at[1])))
        other = LayerKey(key.kind, key.geometry, *near)
        return _scaled(family[near], max(1e-3, key.macs / other.macs))
    (low_in, low_out), (high_in, high_out) = corners
    right, up = _log_position(low_in, at[0], high_in), _log_position(low_out, at[1], high_out)
    weights: dict[tuple[int, int], float] = {}
    sides = ((low_in, 1 - right), (high_in, right))
    if key.geometry.depthwise:
        for channels, weight in sides:
            weights[channels, channels] = weights.get((channels, channels), 0.0) + weight
    else:
        for inputs, one in sides:
            for outputs, other_weight in ((low_out, 1 - up), (high_out, up)):
                weights[inputs, outputs] = weights.get((inputs, outputs), 0.0) + one * other_weight

    def mean(values: Iterable[tuple[float, float]]) -> float:
        return math.exp(sum(weight * math.log(value) for value, weight in values if weight > 0))

    return LayerTime(
        ms=mean((family[corner].ms, weight) for corner, weight in weights.items()),
        low=mean((family[corner].low, weight) for corner, weight in weights.items()),
        high=mean((family[corner].high, weight) for corner, weight in weights.items()),
        noisy=any(family[corner].noisy for corner in weights),
    )


def _rectangle(
    family: Mapping[tuple[int, int], LayerTime], at: tuple[int, int]
) -> tuple[tuple[int, int], tuple[int, int]] | None:
    """The smallest rectangle around a point whose corners were all measured."""
    if all(inputs == outputs for inputs, outputs in family) and at[0] == at[1]:  # depthwise: a line of channels
        line = sorted(inputs for inputs, _ in family)
        low, high = bisect_right(line, at[0]) - 1, bisect_left(line, at[0])
        return ((line[low], line[low]), (line[high], line[high])) if low >= 0 and high < len(line) else None
    rows, columns = sorted({inputs for inputs, _ in family}), sorted({outputs for _, outputs in family})
    best: tuple[tuple[int, int], tuple[int, int]] | None = None
    smallest = math.inf
    for low_in in [i for i in reversed(rows) if i <= at[0]]:  # near ones first: most rectangles are then too large
        for high_in in [i for i in rows if i >= at[0]]:
            for low_out in [o for o in reversed(columns) if o <= at[1]]:
                for high_out in [o for o in columns if o >= at[1]]:
                    area = math.log(2 * high_in / low_in) * math.log(2 * high_out / low_out)
                    if (
                        area < smallest
                        and {(i, o) for i in (low_in, high_in) for o in (low_out, high_out)} <= family.keys()
                    ):
                        best, smallest = ((low_in, low_out), (high_in, high_out)), area
    return best


def _log_position(low: int, value: int, high: int) -> float:
    return 0.0 if low == high else math.log(value / low) / math.log(high / low)


def _scaled(entry: LayerTime, factor: float) -> LayerTime:
    return LayerTime(entry.ms * factor, entry.low * factor, entry.high * factor, entry.runs, entry.noisy)


def layers_to_measure(wanted: Iterable[LayerKey], limit: int = MAX_MEASURED_LAYERS) -> list[LayerKey]:
    """The layers to measure so that the times of all `wanted` ones are known.

    Up to `limit` they are `wanted` themselves. Above, a grid of each family's channels is measured: the lowest and
    the highest and between them about evenly on a log scale, as fine as the limit allows.

    Example:
        >>> layers_to_measure([])
        []
    """
    keys = sorted(set(wanted), key=lambda key: (repr(key.family), key.inputs, key.outputs))
    if len(keys) <= limit:
        return keys
    families: dict[Any, list[LayerKey]] = {}
    for key in keys:
        families.setdefault(key.family, []).append(key)
    found: list[LayerKey] = []
    for size in range(_AXIS, 1, -1):
        found = [key for members in families.values() for key in _grid(members, size)]
        if len(found) <= limit:
            break
    return found


def _grid(members: list[LayerKey], size: int) -> list[LayerKey]:
    first = members[0]
    inputs, outputs = (log_spaced({getattr(key, end) for key in members}, size) for end in ("inputs", "outputs"))
    if first.geometry.depthwise:
        return [LayerKey(first.kind, first.geometry, channels, channels) for channels in inputs]
    return [LayerKey(first.kind, first.geometry, i, o) for i in inputs for o in outputs]


def log_spaced(values: set[int], size: int) -> list[int]:
    """At most `size` of some numbers, the extremes among them, about evenly on a log scale."""
    ordered = sorted(values)
    if len(ordered) <= size:
        return ordered
    low, high = math.log(ordered[0]), math.log(ordered[-1])
    aims = [math.exp(low + (high - low) * step / (size - 1)) for step in range(size)]
    return sorted({min(ordered, key=lambda value: abs(math.log(value / aim))) for aim in aims})
