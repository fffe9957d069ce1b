"""Values of JSON files, read without trust: whatever is not of the expected kind counts as absent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from autoreg.files import is_number


def as_number(value: Any) -> float | None:
    """A JSON value where it is a finite number, else None."""
    return float(value) if is_number(value) else None


def numbers(values: Any) -> dict[str, float]:
    """The finite numbers among the values of a JSON object; empty for anything else."""
    return {str(k): float(v) for k, v in json_object(values).items() if is_number(v)}


def json_object(value: Any) -> Mapping[str, Any]:
    """A value where it is a JSON object, else an empty one."""
    return value if isinstance(value, Mapping) else {}


def json_objects(value: Any) -> list[Mapping[str, Any]]:
    """The objects in a JSON list; empty for anything else."""
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []
