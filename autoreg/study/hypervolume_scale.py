"""On which scale a study of a task takes hypervolume."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from autoreg.engine.constraints import quality_limit
from autoreg.engine.pareto.front import Normalizer
from autoreg.space import Expression


def hypervolume_scale(
    objectives: Mapping[str, str],
    quality: str,
    constraints: Sequence[Expression],
    dense: Mapping[str, float],
    chance: float,
) -> Normalizer:
    """Costs by the dense cost on a log scale; quality by chance level, or by the worst that constraints allow.

    What lies beyond a limit is nobody's gain: with chance level in its place, a search under `error <= 0.2` would seek
    the cheapest networks of any error below 0.9.

    Args:
        objectives: by direction.
        quality: the objective that is learned.
        constraints: of space and study.
        dense: metrics of the dense recipe.
        chance: the quality at chance level.
    """
    best = 0.0 if objectives[quality] == "min" else 1.0
    reference = {f"dense.{name}": value for name, value in dense.items()}
    limit = quality_limit(constraints, quality, reference, best, chance)
    return Normalizer.from_dense(objectives, dense, quality, limit, best=best)
