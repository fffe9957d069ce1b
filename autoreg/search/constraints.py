"""Constraints on metrics, judged twice: at known costs before a trial runs, and on all metrics at its end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from autoreg.errors import InputError

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
    """
    names = {**reference, **metrics}
    return {str(c): float(c.violation(names)) for c in constraints if c.names <= names.keys()}


def satisfied(constraints: Sequence[Expression], metrics: Mapping[str, float], reference: Mapping[str, float]) -> bool:
    """Whether every constraint that can be judged holds."""
    return all(v <= 0 for v in violations(constraints, metrics, reference).values())


def check_names(constraints: Sequence[Expression], reference: Mapping[str, float], metrics: Sequence[str]) -> None:
    """Refuse a constraint on something that no trial of the study can have.

    Raises:
        InputError: If a dotted name is not among the reference metrics, or a plain one not among
            `metrics`; where metrics are not all known, pass none and only dotted names are checked.
    """
    import difflib

    for constraint in constraints:
        for name in sorted(constraint.names):
            allowed = sorted(reference) if "." in name else sorted(metrics)
            if name in reference or name in metrics or ("." not in name and not metrics):
                continue
            near = difflib.get_close_matches(name, allowed, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise InputError(
                f"constraint {str(constraint)!r}: there is no metric {name!r}; "
                f"known: {', '.join(allowed) or 'none'}.{hint}"
            )
