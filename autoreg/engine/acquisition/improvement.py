"""The improvement that is expected of candidates before they are trained: predicted quality at known cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from autoreg.engine.acquisition.attained_front import AttainedFront
from autoreg.engine.log.records import StudyState
from autoreg.engine.pareto.front import Floats
from autoreg.engine.problem import Problem
from autoreg.engine.surrogate.ensemble import quality_mixture
from autoreg.engine.surrogate.fitted import FittedSurrogate
from autoreg.engine.surrogate.weighting import mixture_moments

MIN_VARIANCE_FRACTION = 0.05
"""So much of a candidate's predicted variance is left at least when the variance of its seed is taken away."""


def log_ehvi_parts(
    problem: Problem,
    state: StudyState,
    front: AttainedFront,
    fitted: FittedSurrogate,
    encoded: Floats,
    costs: Sequence[Mapping[str, float]],
    expected: Sequence[Mapping[str, float]] | None = None,
    *,
    cuts: Sequence[float] = (),
) -> Floats:
    """Logarithm of the expected hypervolume improvement of candidates at known cost, in parts.

    The parts are those of `NondominatedPartitioning.log_ehvi_parts`. Hypervolume is taken where the quality is measured
    by its score, see `AttainedFront.warped`.

    Args:
        problem: The study.
        state: With a scale.
        front: What is attained.
        fitted: The surrogate.
        encoded: Candidates [n, p].
        costs: Their known costs, as the base models see them. Objectives that are neither known nor the quality count
            with their predicted mean.
        expected: Where they stand, if that differs: the middle of costs that are known with an error.
        cuts: Where the first cost is cut, in the unit cube.
    """
    places, mean, spread = _predicted(problem, state, fitted, encoded, costs, expected or costs)
    region = front.warped(state, fitted.ensembles[problem.quality].hyperparameters.warp)
    return region.log_ehvi_parts(places, mean, spread, cuts=cuts)


def log_expected_improvement(
    problem: Problem,
    state: StudyState,
    front: AttainedFront,
    fitted: FittedSurrogate,
    encoded: Floats,
    costs: Mapping[str, float],
    expected: Mapping[str, float],
    *,
    seed_variance: float = 0.0,
) -> float:
    """Logarithm of the expected improvement of one candidate in hypervolume itself.

    Args:
        problem: The study.
        state: With a scale.
        front: What is attained.
        fitted: The surrogate.
        encoded: The candidate [p].
        costs: As of `log_ehvi_parts`.
        expected: As of `log_ehvi_parts`.
        seed_variance: Variance of a score that another seed would change. What is improved is then the posterior mean
            of the candidate after its trial, not what will be observed.
    """
    assert state.normalizer is not None
    front.update(state)
    assert front.region is not None
    places, mean, spread = _predicted(problem, state, fitted, encoded[None, :], [costs], [expected])
    if seed_variance > 0:
        # s^2 - v, over s: the deviation that the posterior mean moves by when a run with noise v is seen
        spread = np.maximum(spread**2 - seed_variance, MIN_VARIANCE_FRACTION * spread**2) / spread
    means, spreads = quality_mixture(mean, spread, fitted.ensembles[problem.quality].hyperparameters.warp)
    column = problem.names.index(problem.quality)
    axis, sign = state.normalizer.axes[column], float(problem.signs[column])
    unit = abs(axis.reference - axis.ideal)
    return float(front.region.log_ehvi(places, (means - sign * axis.ideal) / unit, spreads / unit)[0])


def _predicted(
    problem: Problem,
    state: StudyState,
    fitted: FittedSurrogate,
    encoded: Floats,
    costs: Sequence[Mapping[str, float]],
    expected: Sequence[Mapping[str, float]],
) -> tuple[Floats, Floats, Floats]:
    """Places [n, m - 1] of candidates in the unit cube without the quality; mean and deviation [n] of their scores."""
    assert state.normalizer is not None
    raw, logs = np.empty((len(costs), len(problem.names))), fitted.log_costs(costs)
    for m, (name, sign, axis) in enumerate(zip(problem.names, problem.signs, state.normalizer.axes, strict=True)):
        otherwise = np.full(len(costs), axis.reference)
        if name in fitted.ensembles and name != problem.quality:
            ensemble = fitted.ensembles[name]
            mean, _ = mixture_moments(ensemble.predict(encoded, logs), fitted.weights)
            otherwise = sign * ensemble.hyperparameters.warp.inverse(mean)
        known = [c.get(name, o) for c, o in zip(expected, otherwise, strict=True)]
        raw[:, m] = otherwise if name == problem.quality else known
    places = np.delete(state.normalizer.transform(raw), problem.names.index(problem.quality), axis=1)
    mean, spread = mixture_moments(fitted.ensembles[problem.quality].predict(encoded, logs), fitted.weights)
    return places, mean, spread
