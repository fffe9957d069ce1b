"""Constraints on metrics, judged twice: at known costs before a trial runs, and on all metrics at its end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from autoreg.space import Expression


def violations(
    constraints: Sequence[Expression], metrics: Mapping[str, float], reference: Mapping[str, float]
) -> dict[str, float]:
    """Return by how much each constraint is violated; at most 0 where it holds.

    Constraints that name a metric which is not there are left out: nothing is known of them yet.

    Args:
        constraints: Parsed comparisons.
        metrics: Metrics or known costs of one recipe.
        reference: Metrics of the dense recipe under their dotted names (`dense.flops`).

    Returns:
        Violation by the text of the constraint, in the units of its sides.
    """
    names = {**reference, **metrics}
    return {c.text: float(c.violation(names)) for c in constraints if c.names <= names.keys()}


def satisfied(constraints: Sequence[Expression], metrics: Mapping[str, float], reference: Mapping[str, float]) -> bool:
    """Whether every constraint that can be judged holds."""
    return all(v <= 0 for v in violations(constraints, metrics, reference).values())
