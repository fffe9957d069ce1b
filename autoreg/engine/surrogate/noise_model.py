"""What is believed of recipes that were run: how good each is over seeds, and which of them make up the front.

One run tells a recipe's quality with luck in it, and the front of what was observed is made of the lucky. What is
believed is the posterior of a Gaussian process over scores, which draws each observed mean towards what the trials
around it foretell, the more the noisier a run is and the fewer runs there are. Luck is shared in part by the variants
of one training. How much of the noise is luck, and how much of that is shared, is learned from replicates and from
variants by marginal likelihood.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from autoreg.engine.log.records import Record, StudyState
from autoreg.engine.pareto.front import Floats, nondominated
from autoreg.engine.problem import Problem
from autoreg.engine.surrogate.threads import one_thread

if TYPE_CHECKING:
    from autoreg.engine.surrogate.fitting import FittedSurrogate, SurrogateFitter
    from autoreg.engine.surrogate.output_warping import HalfRank

NEAR = 96
"""Recipes that may be believed to be on the front, at most: those of lowest non-dominated rank."""
HELD = 256
"""Runs that a belief is made from, at most."""
LUCKS = (0.01, 0.1, 0.3, 1.0)
SHARES = (0.0, 0.3, 0.6, 0.9)
"""Tried for the share of the noise that is luck, and for the share of luck that variants of one training have in
common. Where no recipe was run twice and no training used twice, the likelihood is indifferent, and the prior below
is what counts: on HPOLib's tables luck was 0.1 to 0.6 of what the process takes for noise, among the good half."""
PRIOR_LUCK = {0.01: -1.5, 0.1: -0.5, 0.3: 0.0, 1.0: -0.5}
PRIOR_SHARE = {0.0: -0.5, 0.3: 0.0, 0.6: 0.0, 0.9: -0.5}
DRAWS = 1024


@dataclass(frozen=True)
class NoiseVariances:
    """Variance of a score that another seed would change, the part of it that a training's variants share, and what
    sets a recipe apart from its neighbours at every seed."""

    seed_variance: float
    shared: float
    lack_of_fit: float


@dataclass(frozen=True)
class Runs:
    """Runs as a belief takes them: score [n], recipe [n] and group [n] (training and seed) as indices."""

    scores: Floats
    recipe: NDArray[np.int64]
    group: NDArray[np.int64]


def covariance(runs: Runs, prior: Floats, noise: NoiseVariances) -> Floats:
    """Covariance [n, n] of observed scores, from that of recipes [k, k] before any quirk and luck."""
    same = runs.recipe[:, None] == runs.recipe[None, :]
    near = runs.group[:, None] == runs.group[None, :]
    own = np.eye(len(runs.scores)) * (noise.seed_variance - noise.shared)
    return np.asarray(prior[np.ix_(runs.recipe, runs.recipe)] + noise.lack_of_fit * same + noise.shared * near + own)


def log_likelihood(runs: Runs, prior: Floats, noise: NoiseVariances) -> float:
    """Logarithm of the density of the scores, up to a constant; -inf where the covariance has no factor."""
    from scipy.linalg import cho_factor, cho_solve

    off = runs.scores - runs.scores.mean()
    try:
        factor = cho_factor(covariance(runs, prior, noise), lower=True)
    except np.linalg.LinAlgError:
        return -math.inf
    return float(-0.5 * off @ cho_solve(factor, off) - np.log(np.diag(factor[0])).sum())


def fit_noise(runs: Runs, prior: Floats, total: float) -> NoiseVariances:
    """How a noise of variance `total` is divided, the most probable of a small grid."""

    def made(luck: float, share: float) -> NoiseVariances:
        return NoiseVariances(total * luck, total * luck * share, total * (1 - luck))

    def score(pair: tuple[float, float]) -> float:
        return log_likelihood(runs, prior, made(*pair)) + PRIOR_LUCK[pair[0]] + PRIOR_SHARE[pair[1]]

    return made(*max(itertools.product(reversed(LUCKS), SHARES), key=score))


def posterior(runs: Runs, prior: Floats, noise: NoiseVariances) -> tuple[Floats, Floats]:
    """Mean [k] and covariance [k, k] of recipes' scores over seeds, given runs of them."""
    from scipy.linalg import cho_factor, cho_solve

    center = float(runs.scores.mean())
    whole = prior + noise.lack_of_fit * np.eye(len(prior))
    factor = cho_factor(covariance(runs, prior, noise), lower=True)
    across = whole[:, runs.recipe]
    mean = center + across @ cho_solve(factor, runs.scores - center)
    return mean, np.asarray(whole - across @ cho_solve(factor, across.T))


@dataclass(frozen=True)
class Posterior:
    """What is believed of recipes: those that may be on the front.

    Attributes:
        trials: Number of the first trial of each recipe [k], ascending.
        mean: Scores over seeds [k]; small is good.
        covariance: Of the same [k, k].
        noise: What one more run would add.
        warp: From quality, to be minimized, to scores.
    """

    trials: tuple[int, ...]
    mean: Floats
    covariance: Floats
    noise: NoiseVariances
    warp: HalfRank


class PosteriorEstimator:
    """Keeps a belief up to date; what is costly to learn, now and then. A fold over recorded trials, as all else."""

    def __init__(self, problem: Problem, learner: SurrogateFitter) -> None:
        self._problem, self._learner = problem, learner
        self._at: tuple[int, int] | None = None
        self._belief: Posterior | None = None
        self._noise: tuple[int, int, float, float] | None = None

    def at(self, state: StudyState) -> Posterior | None:
        """What is believed now; None with too few trials."""
        learned = self._learner.fit(state)
        if learned is None:
            return None
        at = (len(state.ended_numbers), learned.trials)
        if at != self._at:
            with one_thread():
                self._belief = self._made(state, learned)
            self._at = at
        return self._belief

    def qualities(self, state: StudyState) -> dict[int, float]:
        """Quality over seeds by the number of a recipe's first trial, in its own units.

        Once the experts are trusted that of all recipes near the front; until then the means of those that were
        run more than once.
        """
        learned = self._learner.fit(state)
        belief = self.at(state) if learned is not None and learned.trusted else None
        if belief is None:
            return mean_qualities(state, self._problem.quality)
        sign = self._problem.signs[self._problem.names.index(self._problem.quality)]
        return dict(zip(belief.trials, (sign * belief.warp.inverse(belief.mean)).tolist(), strict=True))

    def _made(self, state: StudyState, learned: FittedSurrogate) -> Posterior | None:
        problem = self._problem
        counted = [r for r in problem.front_candidates(state) if self._learner.knows(r)]
        if not counted:
            return None
        near = _nearest(problem.table(counted) * problem.signs)
        chosen = sorted((counted[i] for i in near), key=lambda r: r.number)
        numbers = {r.number for r in chosen}
        others = [r for r in counted[::-1] if r.number not in numbers]
        runs: list[Record] = [*chosen, *self._again(state, numbers)]
        runs += others[: max(HELD - len(runs), 0)]
        kernel, columns, scores, total = self._learner.scored(learned, runs)
        first = {r.number: k for k, r in enumerate(r for r in runs if r.reevaluation_of is None)}
        recipe = np.array([first[r.number if r.reevaluation_of is None else r.reevaluation_of] for r in runs])
        labels = [f"{r.seed} {self._learner.group(r)}" for r in runs]
        group = np.unique(labels, return_inverse=True)[1].reshape(-1)
        seen = Runs(scores, recipe, group)
        firsts = columns[[k for k, r in enumerate(runs) if r.reevaluation_of is None]]
        prior = kernel.covariance(firsts, firsts) + 1e-8 * np.eye(len(firsts))
        noise = self._divided(learned, seen, prior, total)
        mean, spread = posterior(seen, prior, noise)
        count = len(chosen)
        return Posterior(
            tuple(r.number for r in chosen),
            mean[:count],
            spread[:count, :count],
            noise,
            learned.ensembles[problem.quality].hyperparameters.warp,
        )

    def _again(self, state: StudyState, numbers: set[int]) -> list[Record]:
        return [r for r in state.complete() if r.reevaluation_of in numbers and self._learner.knows(r)]

    def _divided(self, learned: FittedSurrogate, runs: Runs, prior: Floats, total: float) -> NoiseVariances:
        """How the noise is divided: learned when the experts' hyperparameters are, and with the first replicates."""
        repeated = len(runs.scores) - len(prior)
        at = (learned.count, repeated)
        if self._noise is None or self._noise[:2] != at:
            found = fit_noise(runs, prior, total)
            self._noise = (*at, found.seed_variance / total, found.shared / total)
        luck, shared = self._noise[2] * total, self._noise[3] * total
        return NoiseVariances(luck, shared, total - luck)


def mean_qualities(state: StudyState, quality: str) -> dict[int, float]:
    """Mean quality over the complete runs of each recipe that was run more than once, by its first trial."""
    found: dict[int, list[float]] = {}
    for record in state.complete():
        if record.reevaluation_of is not None and state.records[record.reevaluation_of].state == "COMPLETE":
            first = state.records[record.reevaluation_of]
            found.setdefault(first.number, [first.metrics[quality]]).append(record.metrics[quality])
    return {number: float(np.mean(values)) for number, values in found.items()}


def _nearest(values: Floats) -> NDArray[np.int64]:
    """Which of the points [n, m], to be minimized, are near the front: whole ranks until there are `NEAR`."""
    left, found = np.arange(len(values)), np.zeros(0, dtype=np.int64)
    while len(left) and len(found) < NEAR:
        on = nondominated(values[left])
        found, left = np.concatenate([found, left[on]]), left[~on]
    return found[:HELD]


def front_probabilities(
    values: Floats, column: int, mean: Floats, spread: Floats, seed: int, draws: int = DRAWS
) -> Floats:
    """Probability [k] of each point that no other dominates it, by drawing one column from its posterior.

    Args:
        values: Objectives [k, m], to be minimized; but for `column` they are exact.
        column: Which objective is uncertain.
        mean: Of that objective [k], on any scale that rises with it.
        spread: Its covariance [k, k].
        seed: Of the draws.
        draws: How many; the standard error is at most 0.5 / sqrt(draws).
    """
    rng = np.random.default_rng([seed, 0x9B])
    power, vectors = np.linalg.eigh(spread)
    root = vectors * np.sqrt(np.maximum(power, 0.0))
    points, wins = np.array(values, dtype=float), np.zeros(len(mean))
    for drawn in rng.standard_normal((draws, len(mean))):
        points[:, column] = mean + root @ drawn
        wins += nondominated(points)
    return np.asarray(wins / draws)
