"""The improvement that is expected of candidates before they are trained: predicted quality at known cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from autoreg.engine.log.records import StudyState
from autoreg.engine.pareto.attained_front import AttainedFront
from autoreg.engine.pareto.front import Floats
from autoreg.engine.problem import Problem
from autoreg.engine.surrogate.fitting import FittedSurrogate


def log_ehvi_parts(
    problem: Problem,
    state: StudyState,
    frontier: AttainedFront,
    learned: FittedSurrogate,
    encoded: Floats,
    costs: Sequence[Mapping[str, float]],
    expected: Sequence[Mapping[str, float]] | None = None,
    *,
    cuts: Sequence[float] = (),
) -> Floats:
    """Logarithm of the expected hypervolume improvement of candidates at known cost, in parts.

    The parts are those of `NondominatedPartitioning.log_ehvi_parts`.

    Hypervolume is taken where the quality is measured by its score, see `AttainedFront.warped`.

    Args:
        encoded: Candidates [n, p].
        costs: Their known costs, as the experts see them. Objectives that are neither known nor the quality count with
            their foretold mean.
        expected: Where they stand, if that differs: the middle of costs that are known with an error.
        cuts: Where the first cost is cut, in the unit cube.
    """
    places, mean, spread = _predicted(problem, state, learned, encoded, costs, expected or costs)
    region = frontier.warped(state, learned.ensembles[problem.quality].hyperparameters.warp)
    return region.log_ehvi_parts(places, mean, spread, cuts=cuts)


def log_expected_improvement(
    problem: Problem,
    state: StudyState,
    frontier: AttainedFront,
    learned: FittedSurrogate,
    encoded: Floats,
    costs: Mapping[str, float],
    expected: Mapping[str, float],
    *,
    seed_variance: float = 0.0,
) -> float:
    """Logarithm of the expected improvement of one candidate in hypervolume itself; arguments as of `log_ehvi_parts`.

    Args:
        seed_variance: Variance of a score that another seed would change. What is improved is then the posterior mean
            of the candidate after its trial, not what will be observed.
    """
    from autoreg.engine.surrogate.ensemble import quality_mixture

    assert state.normalizer is not None
    frontier.update(state)
    assert frontier.region is not None
    places, mean, spread = _predicted(problem, state, learned, encoded[None, :], [costs], [expected])
    spread = np.maximum(spread**2 - seed_variance, 0.05 * spread**2) / spread if seed_variance > 0 else spread
    means, spreads = quality_mixture(mean, spread, learned.ensembles[problem.quality].hyperparameters.warp)
    column = problem.names.index(problem.quality)
    axis, sign = state.normalizer.axes[column], float(problem.signs[column])
    unit = abs(axis.reference - axis.ideal)
    return float(frontier.region.log_ehvi(places, (means - sign * axis.ideal) / unit, spreads / unit)[0])


def _predicted(
    problem: Problem,
    state: StudyState,
    learned: FittedSurrogate,
    encoded: Floats,
    costs: Sequence[Mapping[str, float]],
    expected: Sequence[Mapping[str, float]],
) -> tuple[Floats, Floats, Floats]:
    """Places [n, m - 1] of candidates in the unit cube without the quality; mean and deviation [n] of their scores."""
    from autoreg.engine.surrogate.ensemble import mixture_moments

    assert state.normalizer is not None
    raw, logs = np.empty((len(costs), len(problem.names))), learned.logs(costs)
    for m, (name, sign, axis) in enumerate(zip(problem.names, problem.signs, state.normalizer.axes, strict=True)):
        guess = np.full(len(costs), axis.reference)
        if name in learned.ensembles and name != problem.quality:
            ensemble = learned.ensembles[name]
            guess = sign * ensemble.hyperparameters.warp.inverse(
                mixture_moments(ensemble.predict(encoded, logs), learned.weights)[0]
            )
        raw[:, m] = guess if name == problem.quality else [c.get(name, g) for c, g in zip(expected, guess, strict=True)]
    places = np.delete(state.normalizer.transform(raw), problem.names.index(problem.quality), axis=1)
    mean, spread = mixture_moments(learned.ensembles[problem.quality].predict(encoded, logs), learned.weights)
    return places, mean, spread
