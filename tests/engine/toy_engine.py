"""Engines over the toy problems."""

from __future__ import annotations

from typing import Any

from autoreg.engine import (
    Budget,
    Engine,
    Normalizer,
    Result,
)
from autoreg.space import Expression, digest
from tests.engine.problems import (
    DENSE,
    OBJECTIVES,
    build_engine,
    small_space,
    toy_costs,
    toy_space,
)

SCALE = Normalizer.from_dense({"error": "min", "flops": "min"}, DENSE, "error", 0.9)


def toy(trials: int | None = 30, *, constraints: tuple[str, ...] = (), **more: Any) -> Engine:
    """An engine over the toy space: error learned, operations known."""
    given: dict[str, Any] = {
        "quality": "error",
        "costs": toy_costs,
        "normalizer": SCALE,
        "budget": Budget(trials=trials),
        "reference": {"dense.flops": DENSE["flops"]},
        "identity": digest,
        "constraints": tuple(Expression.parse(c, "test") for c in constraints),
    }
    return build_engine(more.pop("space", None) or toy_space(), OBJECTIVES, **(given | more))


def small(trials: int | None = 30, **more: Any) -> Engine:
    """An engine over six recipes with nothing known in advance."""
    given: dict[str, Any] = {"quality": "error", "budget": Budget(trials=trials), "identity": digest}
    return build_engine(more.pop("space", None) or small_space(), {"error": "min"}, **(given | more))


def finish(engine: Engine, error: float = 0.5) -> dict[str, Any] | None:
    """Complete the next trial with an error; its config, None when nothing is left to ask."""
    ask = engine.ask()
    if ask is None:
        return None
    engine.tell(ask.number, Result("COMPLETE", {"error": error}))
    return ask.config
