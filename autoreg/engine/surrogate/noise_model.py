"""How good recipes are over seeds, and which of them make up the front.

One run shows a recipe's quality with its seed's noise in it, and the front of what was observed is made of those whose
noise was kind. The estimate here is the posterior of a Gaussian process over scores, which draws each observed mean
towards what the trials around it predict, the more the noisier a run is and the fewer runs there are. The noise of a
seed is shared in part by the variants of one training. How much of the process' noise is the seed's, and how much of
that is shared, is fitted to re-evaluations and variants by marginal likelihood; the rest is lack of fit, what sets a
recipe apart from its neighbours at every seed. Both are larger for recipes that train unstably, see
`autoreg.engine.surrogate.heteroscedasticity`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from autoreg.engine.log.records import Record, StudyState
from autoreg.engine.pareto.front import Floats, nondominated
from autoreg.engine.problem import Problem
from autoreg.engine.surrogate.ensemble import Hyperparameters, quality_mixture
from autoreg.engine.surrogate.fitted import FittedSurrogate
from autoreg.engine.surrogate.fitting import SurrogateFitter
from autoreg.engine.surrogate.gp import JITTER
from autoreg.engine.surrogate.heteroscedasticity import factors, features, fit_slopes, leave_one_out
from autoreg.engine.surrogate.output_warping import HalfLog
from autoreg.engine.surrogate.threads import one_thread
from autoreg.lazy import lazy_module

if TYPE_CHECKING:
    from scipy import linalg
else:
    linalg = lazy_module("scipy.linalg")

MIN_NEAR_FRONT = 96
"""Recipes whose posterior is estimated: whole non-dominated ranks until there are so many."""
MAX_POSTERIOR_RUNS = 256
"""Runs that the posterior is conditioned on, at most."""
SEED_FRACTIONS = (0.01, 0.1, 0.3, 1.0)
SHARED_FRACTIONS = (0.0, 0.3, 0.6, 0.9)
"""Tried for the fraction of the noise that is the seed's, and for the fraction of that which variants of one training
share. Where no recipe was run twice and no training used twice, the likelihood is indifferent, and the prior below is
what counts: on HPOLib's tables the seed's was 0.1 to 0.6 of what the process takes for noise, among the good half."""
LOG_PRIOR_SEED_FRACTION = {0.01: -1.5, 0.1: -0.5, 0.3: 0.0, 1.0: -0.5}
LOG_PRIOR_SHARED_FRACTION = {0.0: -0.5, 0.3: 0.0, 0.6: 0.0, 0.9: -0.5}
PRIOR_MODE = (0.3, 0.3)
"""Seed and shared fraction while there is no run to fit them to."""
FRONT_DRAWS = 1024
"""Draws from the posterior that the probability of being on the front is counted over."""


@dataclass(frozen=True)
class NoiseVariances:
    """What the noise of a score consists of.

    Attributes:
        seed_variance: What another seed would change.
        shared_seed_variance: The part of it that the variants of one training share.
        lack_of_fit: What sets a recipe apart from its neighbours at every seed.
    """

    seed_variance: float
    shared_seed_variance: float
    lack_of_fit: float


@dataclass(frozen=True)
class Runs:
    """Runs as the posterior takes them: score [n], recipe [n] and group [n] (training and seed) as indices.

    `factor` [k]: of the noise variance of each recipe, 1 for all where none is given.
    """

    scores: Floats
    recipe: NDArray[np.int64]
    group: NDArray[np.int64]
    factor: Floats | None = None

    def scale(self, count: int) -> Floats:
        """Factor of the noise deviation of each of `count` recipes."""
        return np.ones(count) if self.factor is None else np.sqrt(self.factor)


def covariance(runs: Runs, prior: Floats, noise: NoiseVariances) -> Floats:
    """Covariance [n, n] of observed scores, from that of recipes [k, k] without any noise."""
    same = runs.recipe[:, None] == runs.recipe[None, :]
    together = runs.group[:, None] == runs.group[None, :]
    own = np.eye(len(runs.scores)) * (noise.seed_variance - noise.shared_seed_variance)
    scale = runs.scale(len(prior))[runs.recipe]
    noises = noise.lack_of_fit * same + noise.shared_seed_variance * together + own
    return np.asarray(prior[np.ix_(runs.recipe, runs.recipe)] + noises * np.outer(scale, scale))


def log_likelihood(runs: Runs, prior: Floats, noise: NoiseVariances) -> float:
    """Logarithm of the density of the scores, up to a constant; -inf where the covariance has no factor."""
    centred = runs.scores - runs.scores.mean()
    try:
        factor = linalg.cho_factor(covariance(runs, prior, noise), lower=True)
    except np.linalg.LinAlgError:
        return -math.inf
    return float(-0.5 * centred @ linalg.cho_solve(factor, centred) - np.log(np.diag(factor[0])).sum())


def variances(total: float, seed_fraction: float, shared_fraction: float) -> NoiseVariances:
    """How a noise of variance `total` is divided."""
    seed = total * seed_fraction
    return NoiseVariances(seed, seed * shared_fraction, total - seed)


def fit_noise(runs: Runs, prior: Floats, total: float) -> tuple[float, float]:
    """Seed and shared fraction of a noise of variance `total`, the most probable of a small grid."""

    def log_posterior(pair: tuple[float, float]) -> float:
        of_prior = LOG_PRIOR_SEED_FRACTION[pair[0]] + LOG_PRIOR_SHARED_FRACTION[pair[1]]
        return log_likelihood(runs, prior, variances(total, *pair)) + of_prior

    return max(itertools.product(reversed(SEED_FRACTIONS), SHARED_FRACTIONS), key=log_posterior)


def posterior(runs: Runs, prior: Floats, noise: NoiseVariances) -> tuple[Floats, Floats]:
    """Mean [k] and covariance [k, k] of recipes' scores over seeds, given runs of them."""
    center = float(runs.scores.mean())
    whole = prior + noise.lack_of_fit * np.diag(runs.scale(len(prior)) ** 2)
    factor = linalg.cho_factor(covariance(runs, prior, noise), lower=True)
    across = whole[:, runs.recipe]
    mean = center + across @ linalg.cho_solve(factor, runs.scores - center)
    return mean, np.asarray(whole - across @ linalg.cho_solve(factor, across.T))


@dataclass(frozen=True)
class Posterior:
    """Qualities over seeds of the recipes that may be on the front.

    Attributes:
        trials: Number of the first trial of each recipe [k], ascending.
        mean: Scores over seeds [k]; small is good.
        covariance: Of the same [k, k].
        noise: What one more run of a mean recipe would add.
        seed_variances: What another seed would change of each recipe [k].
        warp: From quality, to be minimized, to scores.
    """

    trials: tuple[int, ...]
    mean: Floats
    covariance: Floats
    noise: NoiseVariances
    seed_variances: Floats
    warp: HalfLog

    def expected_quality(self) -> Floats:
        """Quality [k], to be minimized, that is expected of one more run: what a score says of it is not linear."""
        spread = np.sqrt(np.diag(self.covariance) + self.seed_variances)
        return np.asarray(quality_mixture(self.mean, spread, self.warp)[0].mean(axis=1))


@dataclass(frozen=True)
class _NearFront:
    """Runs of recipes near the front.

    Attributes:
        trials: First trial of each recipe that may be on the front [k].
        runs: Of these recipes first, then of others.
        prior: Covariance of all recipes without noise; the first k are `trials`.
        log_costs: Mean logarithm of the known costs of all recipes.
        noise_variance: What the process takes for noise.
    """

    trials: tuple[int, ...]
    runs: Runs
    prior: Floats
    log_costs: Floats
    noise_variance: float

    def fitted(self) -> _Noise:
        """How the noise of these runs is divided, and where it is large."""
        predicted, variance, centred = self._left_out()
        table = features(predicted, self.log_costs, self.runs.recipe)
        slopes = fit_slopes(predicted, variance, centred, self.noise_variance, table[self.runs.recipe])
        runs = replace(self.runs, factor=factors(table, slopes))
        return _Noise(fit_noise(runs, self.prior, self.noise_variance), slopes)

    def with_factors(self, slopes: Floats | None) -> Runs:
        """The runs with the factors of their noise."""
        if slopes is None:
            return self.runs
        table = features(self._left_out()[0], self.log_costs, self.runs.recipe)
        return replace(self.runs, factor=factors(table, slopes))

    def _left_out(self) -> tuple[Floats, Floats, Floats]:
        """Mean and variance of each score as the other runs predict it, and the scores; all centred."""
        centred = self.runs.scores - self.runs.scores.mean()
        recipe = self.runs.recipe
        return *leave_one_out(self.prior[np.ix_(recipe, recipe)], self.noise_variance, centred), centred


class _Noise(NamedTuple):
    """Seed and shared fraction of the noise, and slopes of its log variance; None: the same noise for all."""

    fractions: tuple[float, float]
    slopes: Floats | None


class PosteriorEstimator:
    """Estimates the posterior of recipes over seeds, from the first n observations alone, whenever it is looked at.

    How the noise is divided is expensive to fit, and fitted at fixed numbers of observations: those that the
    surrogate's hyper-parameters were fitted to, or up to the last re-evaluation where that came later.
    """

    def __init__(self, problem: Problem, fitter: SurrogateFitter) -> None:
        self._problem, self._fitter = problem, fitter
        self._at: FittedSurrogate | None = None
        self._posterior: Posterior | None = None
        self._noise_at: tuple[Hyperparameters, int] | None = None
        self._noise = _Noise(PRIOR_MODE, None)

    def at(self, state: StudyState) -> Posterior | None:
        """The posterior now; None with too few trials."""
        fitted = self._fitter.fit(state)
        if fitted is None:
            return None
        if fitted is not self._at:
            with one_thread():
                self._posterior = self._estimate(fitted)
            self._at = fitted
        return self._posterior

    def qualities(self, state: StudyState) -> dict[int, float]:
        """Quality over seeds by the number of a recipe's first trial, in its own units.

        Once the surrogate is trusted that of all recipes near the front; until then the means of those that were
        run more than once.
        """
        fitted = self._fitter.fit(state)
        found = self.at(state) if fitted is not None and fitted.trusted else None
        if found is None:
            return mean_qualities(state, self._problem.quality)
        sign = self._problem.signs[self._problem.names.index(self._problem.quality)]
        return dict(zip(found.trials, (sign * found.expected_quality()).tolist(), strict=True))

    def _estimate(self, fitted: FittedSurrogate) -> Posterior | None:
        near = self._near_front(fitted, self._fitter.observations)
        if near is None:
            return None
        fractions, slopes = self._fitted_noise(fitted)
        noise, runs = variances(near.noise_variance, *fractions), near.with_factors(slopes)
        mean, spread = posterior(runs, near.prior, noise)
        count = len(near.trials)
        seeds = noise.seed_variance * runs.scale(len(near.prior))[:count] ** 2
        warp = fitted.ensembles[self._problem.quality].hyperparameters.warp
        return Posterior(near.trials, mean[:count], spread[:count, :count], noise, seeds, warp)

    def _fitted_noise(self, fitted: FittedSurrogate) -> _Noise:
        observations = self._fitter.observations
        again = (k for k in range(len(observations), 0, -1) if observations[k - 1].reevaluation_of is not None)
        count = max(fitted.hyperparameter_trials, next(again, 0))
        parameters = fitted.ensembles[self._problem.quality].hyperparameters
        # The object itself is part of the key: it changes when a prior ends too, and with it the columns.
        if self._noise_at is None or self._noise_at[0] is not parameters or self._noise_at[1] != count:
            near = self._near_front(fitted, observations[:count])
            self._noise = _Noise(PRIOR_MODE, None) if near is None else near.fitted()
            self._noise_at = parameters, count
        return self._noise

    def _near_front(self, fitted: FittedSurrogate, observations: Sequence[Record]) -> _NearFront | None:
        """Runs of the recipes near the front of some observations, with others to fill up; None where none may be."""
        problem = self._problem
        candidates = [r for r in observations if problem.is_front_candidate(r)]
        if not candidates:
            return None
        nearest = _lowest_ranks(problem.table(candidates) * problem.signs)
        near = sorted((candidates[i] for i in nearest), key=lambda r: r.number)
        numbers = {r.number for r in near}
        again = [r for r in observations if r.reevaluation_of in numbers]
        others = [r for r in candidates[::-1] if r.number not in numbers]
        records = [*near, *again]
        records += others[: max(MAX_POSTERIOR_RUNS - len(records), 0)]
        kernel, columns, scores, noise_variance = self._fitter.gp_data(fitted, records)
        first = {r.number: k for k, r in enumerate(r for r in records if r.reevaluation_of is None)}
        recipe = np.array([first[r.number if r.reevaluation_of is None else r.reevaluation_of] for r in records])
        labels = [f"{r.seed} {self._fitter.group(r)}" for r in records]
        group = np.unique(labels, return_inverse=True)[1].reshape(-1)
        firsts = [k for k, r in enumerate(records) if r.reevaluation_of is None]
        rows, costs = columns[firsts], fitted.log_costs([records[k].costs for k in firsts])
        log_costs = costs.mean(axis=1) if costs.shape[1] else np.zeros(len(rows))
        prior = kernel.covariance(rows, rows) + JITTER * np.eye(len(rows))
        return _NearFront(tuple(r.number for r in near), Runs(scores, recipe, group), prior, log_costs, noise_variance)


def mean_qualities(state: StudyState, quality: str) -> dict[int, float]:
    """Mean quality over the complete runs of each recipe that was run more than once, by its first trial."""
    found: dict[int, list[float]] = {}
    for record in state.complete():
        if record.reevaluation_of is not None and state.records[record.reevaluation_of].state == "COMPLETE":
            first = state.records[record.reevaluation_of]
            found.setdefault(first.number, [first.metrics[quality]]).append(record.metrics[quality])
    return {number: float(np.mean(values)) for number, values in found.items()}


def _lowest_ranks(values: Floats) -> NDArray[np.int64]:
    """Which of the points [n, m], to be minimized, are near the front: whole ranks until there are enough."""
    left, found = np.arange(len(values)), np.zeros(0, dtype=np.int64)
    while len(left) and len(found) < MIN_NEAR_FRONT:
        on = nondominated(values[left])
        found, left = np.concatenate([found, left[on]]), left[~on]
    return found[:MAX_POSTERIOR_RUNS]


def front_probabilities(
    values: Floats, column: int, mean: Floats, covariance: Floats, seed: int, draws: int = FRONT_DRAWS
) -> Floats:
    """Probability [k] of each point that no other dominates it, by drawing one column from its posterior.

    Args:
        values: Objectives [k, m], to be minimized; but for `column` they are exact.
        column: Which objective is uncertain.
        mean: Of that objective [k], on any scale that rises with it.
        covariance: Of the same [k, k].
        seed: Of the draws.
        draws: How many; the standard error is at most 0.5 / sqrt(draws).
    """
    rng = np.random.default_rng([seed, 0x9B])
    power, vectors = np.linalg.eigh(covariance)
    root = vectors * np.sqrt(np.maximum(power, 0.0))
    points, wins = np.array(values, dtype=float), np.zeros(len(mean))
    for drawn in rng.standard_normal((draws, len(mean))):
        points[:, column] = mean + root @ drawn
        wins += nondominated(points)
    return np.asarray(wins / draws)
