"""Which metrics the objectives and constraints of a task's study may name."""

from __future__ import annotations

from collections.abc import Sequence

from autoreg.errors import InputError
from autoreg.space import Expression, StudySpec
from autoreg.tasks import Task

COST_METRICS = ("flops", "effective_flops", "bops", "weights", "params", "bytes", "file_bytes", "latency_ms")


def check_metrics(spec: StudySpec, constraints: Sequence[Expression], task: Task) -> None:
    """Refuse objectives and constraints that name what is not measured.

    Args:
        spec: the study.
        constraints: of its space.
        task: what is measured.

    Raises:
        InputError: with the name, and those that are allowed.
    """
    known = {task.quality, *COST_METRICS}
    for name in spec.objectives:
        if name not in known:
            raise InputError(
                f"objectives: {name!r} is nothing that task {task.name!r} is measured by; "
                f"allowed are {', '.join(sorted(known))}"
            )
    allowed = known | {f"dense.{name}" for name in known}
    for constraint in (*constraints, *spec.constraints):
        for name in sorted(constraint.names):
            if name not in allowed:
                raise InputError(
                    f"constraints: {name!r} in {constraint} is nothing that is measured; "
                    f"allowed are {', '.join(sorted(known))}, each also as dense.NAME"
                )
