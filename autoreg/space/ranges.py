"""The arithmetic of a `Range`: its grid, membership, drawing a number, and the scale from 0 to 1."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from autoreg.space.nodes import Range

_TOLERANCE = 1e-9


def step_of(domain: Range) -> float | None:
    """The distance between neighbours, or None where the range is continuous."""
    if domain.step is not None:
        return domain.step
    return 1 if domain.is_int else None


def count(domain: Range) -> float:
    """How many numbers the range holds; infinite where it is continuous."""
    step = step_of(domain)
    return math.inf if step is None else _steps(domain.high - domain.low, step) + 1


def _steps(width: float, step: float) -> int:
    if isinstance(width, int) and isinstance(step, int):
        return width // step  # exact for whole numbers of any size
    return math.floor(width / step * (1 + _TOLERANCE) + _TOLERANCE)


def values(domain: Range) -> Iterator[int | float]:
    """The numbers of a finite range, ascending.

    >>> list(values(Range("uniform", 0.1, 0.4, 0.1)))
    [0.1, 0.2, 0.3, 0.4]
    """
    for index in range(int(count(domain))):
        yield _at(domain, index)


def _at(domain: Range, index: int) -> int | float:
    step = step_of(domain)
    assert step is not None
    if domain.is_int:
        return int(domain.low) + index * int(step)
    return min(float(f"{domain.low + index * step:.12g}"), float(domain.high))


def holds(domain: Range, value: Any) -> bool:
    """Whether `value` is a number of the range: of its type, within its bounds, on its grid."""
    if isinstance(value, bool) or not isinstance(value, int if domain.is_int else float):
        return False
    if not domain.low <= value <= domain.high:
        return False
    return domain.step is None or math.isclose(snap(domain, value), value, rel_tol=_TOLERANCE, abs_tol=1e-12)


def snap(domain: Range, value: Any) -> int | float:
    """The number of the range that is nearest to `value`, in the type of the range."""
    if domain.is_int:
        low, width = int(domain.low), int(domain.step or 1)
        whole = int(value) if isinstance(value, int) else round(float(value))
        if width == 1:
            return min(max(whole, low), int(domain.high))
        index = round((whole - low) / width)
    elif domain.step is None:
        return min(max(float(value), float(domain.low)), float(domain.high))
    else:
        index = round((float(value) - domain.low) / domain.step)
    return _at(domain, min(max(index, 0), int(count(domain)) - 1))


def draw(domain: Range, rng: np.random.Generator) -> int | float:
    """Draw a number: uniformly, or uniformly in the logarithm."""
    if domain.is_log:
        low, high = float(domain.low), float(domain.high)
        if domain.is_int:  # half a step on either side, so that the ends are not rarer than the rest
            low, high = low - 0.5, high + 0.5
        return snap(domain, math.exp(rng.uniform(math.log(low), math.log(high))))
    if step_of(domain) is None:
        return snap(domain, domain.low + (domain.high - domain.low) * rng.random())
    return _at(domain, int(rng.integers(0, int(count(domain)))))


def scale(domain: Range, numbers: np.ndarray) -> np.ndarray:
    """Map numbers of the range to [0, 1], log-warped where the range is."""
    low, high = float(domain.low), float(domain.high)
    if domain.is_log:
        scaled = (np.log(numbers) - math.log(low)) / (math.log(high) - math.log(low))
    else:
        scaled = (numbers - low) / (high - low)
    result: np.ndarray = np.clip(scaled, 0.0, 1.0)
    return result


def unscale(domain: Range, fraction: float) -> int | float:
    """Undo `scale` for one number; what lies outside [0, 1] is moved to the nearer end."""
    fraction = min(max(float(fraction), 0.0), 1.0)
    low, high = float(domain.low), float(domain.high)
    if domain.is_log:
        return snap(domain, math.exp(math.log(low) + fraction * (math.log(high) - math.log(low))))
    return snap(domain, low + fraction * (high - low))
