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


def quality_limit(
    constraints: Sequence[Expression], quality: str, reference: Mapping[str, float], best: float, chance: float
) -> float:
    """The worst quality, between the best and chance level, that the constraints allow whatever a recipe costs.

    Only constraints that name the quality and metrics of the dense recipe count (`error <= 0.2`,
    `error <= dense.error + 0.05`). They are taken to hold from the best quality up to a limit, which is found by
    bisection to a millionth of the distance.

    Args:
        constraints: Parsed comparisons.
        quality: Name of the objective.
        reference: Metrics of the dense recipe under their dotted names.
        best: The ideal value.
        chance: The value at chance level.

    Returns:
        The limit; `chance` where nothing limits the quality, or not even the best is allowed.
    """
    own = [c for c in constraints if quality in c.names and c.names - {quality} <= reference.keys()]

    def allowed(share: float) -> bool:
        return satisfied(own, {quality: best + share * (chance - best)}, reference)

    if not own or allowed(1.0) or not allowed(0.0):
        return chance
    low, high = 0.0, 1.0
    while high - low > 1e-6:
        middle = (low + high) / 2
        low, high = (middle, high) if allowed(middle) else (low, middle)
    return best + high * (chance - best)
