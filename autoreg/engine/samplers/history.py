"""Recorded trials as samplers see them, and the types that samplers share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from autoreg.space.nodes import Range

Config = dict[str, Any]
Value = float | int | str
Domain = Range | tuple[str, ...]


@dataclass(frozen=True)
class Observation:
    """One recorded trial as a sampler sees it.

    `flat` holds its active parameters by path; `values` its objectives, to be minimized, where it
    is COMPLETE; `violation` is above 0 for a trial that breaks a constraint.
    """

    number: int
    state: Literal["COMPLETE", "PRUNED", "RUNNING"]
    flat: Mapping[str, Value]
    values: tuple[float, ...] | None = None
    violation: float = 0.0
