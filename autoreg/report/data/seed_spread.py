"""Metrics over several seeds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from autoreg.report.data.json_values import json_object, json_objects, numbers


@dataclass(frozen=True)
class SeedSpread:
    """Metrics over several seeds.

    Attributes:
        mean: of each metric.
        std: of each metric, n - 1 in the denominator; metrics of a single seed have none.
        values: by seed; empty where only mean and deviation are known.
    """

    mean: Mapping[str, float]
    std: Mapping[str, float] = field(default_factory=dict)
    values: tuple[Mapping[str, float], ...] = ()

    @classmethod
    def from_json(cls, value: Any) -> SeedSpread | None:
        """Read `{"mean": ..., "std": ..., "values": ...}`; None where there is no mean."""
        row = json_object(value)
        mean = numbers(row.get("mean"))
        values = tuple(numbers(seed) for seed in json_objects(row.get("values")))
        return cls(mean, numbers(row.get("std")), values) if mean else None

    def to_json(self) -> dict[str, Any]:
        """Plain data, which `from_json` reads back; the deviation of a single seed is None."""
        found: dict[str, Any] = {"mean": dict(self.mean), "std": {name: self.std.get(name) for name in self.mean}}
        return {**found, "values": [dict(seed) for seed in self.values]} if self.values else found

    def standard_error(self, name: str) -> float | None:
        """Of the mean of a metric: its deviation over the root of the seeds that know it; None for a single seed."""
        seeds = sum(name in one for one in self.values)
        return self.std[name] / seeds**0.5 if name in self.std and seeds > 1 else None


def spreads_by_set(value: Any) -> dict[str, SeedSpread]:
    """Read `test_sets`: by name what `SeedSpread.from_json` reads; sets without a mean are left out."""
    found = {str(name): SeedSpread.from_json(one) for name, one in json_object(value).items()}
    return {name: spread for name, spread in found.items() if spread is not None}


def spread_json(spread: SeedSpread | None) -> dict[str, Any] | None:
    """Plain data of a spread, None where there is none."""
    return None if spread is None else spread.to_json()
