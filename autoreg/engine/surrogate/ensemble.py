"""Experts that foretell the quality of a config, and how much each is listened to.

All see the same target, warped by `HalfRank`, and give a mean and a standard deviation of its score.
Each is weighed by how well it foretold trials before they were told (prequential log-score, Dawid
1984); what they disagree about is added to the variance. `null` knows cost alone, `constant` nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri

from autoreg.engine.pareto.front import Floats
from autoreg.engine.surrogate.boosted_trees import BoostedTrees, CostOnlyBaseline
from autoreg.engine.surrogate.gp import GaussianProcess, Kernel, fit_kernel
from autoreg.engine.surrogate.output_warping import HalfRank

Gaussian = tuple[Floats, Floats]
"""Mean [n] and standard deviation [n] of scores."""

TREES_MIN_TRIALS = 20
"""Trees find nothing in fewer trials."""
KERNEL_FIT_TRIALS = 128
"""Trials that the parameters of the Gaussian process are learned from, at most."""
GP_MAX_TRIALS = 256
"""Trials that the Gaussian process holds, at most: the best by score and the latest."""
LINEAR_MAX_TRIALS = 1000
"""Trials that the linear expert and the null model hold, at most."""
LOG_SCORE_DECAY = 0.96
"""How much less a foretelling counts with each that follows."""
INITIAL_LOG_WEIGHTS = {"gp": 0.0, "ridge": -3.0, "trees": -3.0}
"""Logarithm of the weight of an expert before it has foretold anything."""
MIN_LOG_SCORE = -6.0
"""A log-score is worth no less than this: one surprise must not silence an expert for ever."""
VALIDATION_WINDOW = 200
"""Trials over which the lead is taken."""
UNIFORM_STD = 0.58
"""Deviation of a number drawn evenly from [-1, 1], to which costs are scaled."""
MIN_PREDICTIVE_STD = 0.05
"""No expert is so sure of a score, in standard deviations of all scores."""


@dataclass(frozen=True)
class FeatureMap:
    """Columns that the experts see: encoded configs with gaps filled, and for each gap whether it is active."""

    center: Floats
    scale: Floats
    has_gap: NDArray[np.bool_]

    @classmethod
    def of(cls, encoded: Floats, costs: int = 0) -> FeatureMap:
        """Learn centre and gaps from encoded configs [n, p], NaN where inactive; ranges lie in [0, 1].

        The last `costs` columns are logarithms of costs, which have a range of their own.
        """
        has_gap = np.asarray(np.isnan(encoded).any(axis=0))
        with np.errstate(invalid="ignore"):
            held = np.where(np.isnan(encoded), 0.0, encoded)
        active = np.maximum((~np.isnan(encoded)).sum(axis=0), 1)
        center = held.sum(axis=0) / active
        binary = np.asarray(np.all((held == 0) | (held == 1), axis=0))
        scale = np.where(binary, 1.0, 2.0)
        if costs:
            scale[-costs:] = UNIFORM_STD / np.maximum(held[:, -costs:].std(axis=0), 1e-3)
        return cls(center, scale, has_gap)

    def __call__(self, encoded: Floats) -> Floats:
        """Columns [n, p + gaps] of encoded configs; an inactive parameter stands at its centre."""
        filled = np.where(np.isnan(encoded), self.center, encoded)
        return np.hstack([(filled - self.center) * self.scale, np.isnan(encoded[:, self.has_gap]) - 0.5])


@dataclass(frozen=True)
class Hyperparameters:
    """What is costly to learn, and learned now and then: warp, features, the process' parameters, trees.

    Attributes:
        count: How many trials it was learned from.
        warp: Of the target.
        features: Of the configs.
        kernel: Of the Gaussian process.
        trees: Booster over raw encoded configs, and the deviation of its held-out errors; None with few trials.
    """

    count: int
    warp: HalfRank
    features: FeatureMap
    kernel: Kernel
    trees: tuple[BoostedTrees, float] | None = None


def fit_hyperparameters(
    encoded: Floats, quality: Floats, costs: Floats, seed: int = 0, warp: HalfRank | None = None
) -> Hyperparameters:
    """Learn what is costly from encoded configs [n, p], their quality [n], to be minimized, and log costs [n, k].

    The warp is learned from the quality, unless one is given.
    """
    encoded = np.hstack([encoded, costs])
    warp, features = warp or HalfRank(quality), FeatureMap.of(encoded, costs.shape[1])
    scores = warp.forward(quality)
    columns = features(encoded)
    kept = training_subset(scores, KERNEL_FIT_TRIALS)
    kernel = fit_kernel(columns[kept], _centred(scores[kept]))
    trees = _trees(encoded, scores, seed) if len(scores) >= TREES_MIN_TRIALS else None
    return Hyperparameters(len(scores), warp, features, kernel, trees)


def _centred(scores: Floats) -> Floats:
    return np.asarray(scores - scores.mean())


def _trees(encoded: Floats, scores: Floats, seed: int) -> tuple[BoostedTrees, float]:
    """Shallow boosted trees; their error from four folds, held out in turn."""
    rounds = 150
    order = np.random.default_rng([seed, len(scores)]).permutation(len(scores))
    errors = np.zeros(len(scores))
    parts = 4 if len(scores) <= 200 else 1  # later one quarter tells as much
    for k in range(parts):
        out = order[k::4]
        rest = np.setdiff1d(order, out)
        model = BoostedTrees(rounds, eta=0.08, seed=seed)
        model._fit(encoded[rest], scores[rest])
        errors[out] = model._scores(encoded[out]) - scores[out]
    held = errors[np.concatenate([order[k::4] for k in range(parts)])]
    final = BoostedTrees(rounds, eta=0.08, seed=seed)
    final._fit(encoded, scores)
    return final, float(np.sqrt(np.mean(held**2)))


def training_subset(scores: Floats, most: int) -> NDArray[np.int64]:
    """Which trials a process holds: half the best by score, half the latest, ascending."""
    if len(scores) <= most:
        return np.arange(len(scores))
    best = np.argsort(scores, kind="stable")[: most // 2]
    latest = np.setdiff1d(np.arange(len(scores)), best)[-(most - len(best)) :]
    return np.sort(np.concatenate([best, latest]))


class Ensemble:
    """The experts, fitted to all that is known now.

    Args:
        hyperparameters: What was learned now and then.
        encoded: Configs [n, p], NaN where inactive.
        quality: To be minimized [n].
        costs: Logarithms of their known costs [n, k]; k may be 0.
    """

    def __init__(self, hyperparameters: Hyperparameters, encoded: Floats, quality: Floats, costs: Floats) -> None:
        self.hyperparameters = hyperparameters
        scores = hyperparameters.warp.forward(quality)
        self._scores = scores
        columns = hyperparameters.features(np.hstack([encoded, costs]))
        kept = training_subset(scores, GP_MAX_TRIALS)
        self._process = GaussianProcess(hyperparameters.kernel, columns[kept], scores[kept])
        kept = training_subset(scores, LINEAR_MAX_TRIALS)
        self._ridge = _Ridge(columns[kept], scores[kept])
        self._null = _Null(costs[-LINEAR_MAX_TRIALS:], scores[-LINEAR_MAX_TRIALS:]) if costs.shape[1] else None

    def predict(self, encoded: Floats, costs: Floats, *, nulls: bool = False) -> dict[str, Gaussian]:
        """What each expert foretells of configs [n, p] with log costs [n, k], and what the null models do if asked.

        The standard deviation is that of what would be observed, noise included.
        """
        wide = np.hstack([encoded, costs])
        columns = self.hyperparameters.features(wide)
        mean, variance = self._process.predict(columns)
        out: dict[str, Gaussian] = {
            "gp": (mean, np.sqrt(variance + self._process.noise)),
            "ridge": self._ridge.predict(columns),
        }
        if self.hyperparameters.trees is not None:
            model, spread = self.hyperparameters.trees
            out["trees"] = (model._scores(wide), np.full(len(encoded), spread))
        if nulls:
            doubt = float(self._scores.std()) * math.sqrt(1 + 2 / len(self._scores))
            out["constant"] = (np.full(len(encoded), self._scores.mean()), np.full(len(encoded), doubt))
            out["null"] = self._null.predict(costs) if self._null is not None else out["constant"]
        return {k: (m, np.maximum(s, MIN_PREDICTIVE_STD)) for k, (m, s) in out.items()}

    @property
    def names(self) -> list[str]:
        """The experts that have something to say."""
        return ["gp", "ridge"] + (["trees"] if self.hyperparameters.trees is not None else [])

    @property
    def noise(self) -> float:
        """Variance of the noise of a score, as the Gaussian process sees it."""
        return self._process.noise


class _Ridge:
    """Bayesian linear regression; weight and noise by maximizing the evidence over a grid of their ratio."""

    def __init__(self, columns: Floats, scores: Floats) -> None:
        self._center, self._mean = columns.mean(axis=0), float(scores.mean())
        left, singular, right = np.linalg.svd(columns - self._center, full_matrices=False)
        rotated, rest = left.T @ (scores - self._mean), scores - self._mean
        count = len(scores)
        best = -math.inf
        for ratio in np.geomspace(0.3, 300, 13):  # noise variance over weight variance
            shrunk = singular**2 + ratio
            fit = float(rest @ rest - (rotated**2 * singular**2 / shrunk).sum())
            noise = (fit + 0.1) / (count + 1)
            evidence = -0.5 * (np.log(shrunk / ratio).sum() + (count + 1) * math.log(noise))
            if evidence > best:
                best, self._shrunk, self._noise = evidence, shrunk, noise
                self._weight = right.T @ (singular * rotated / shrunk)
                self._ratio = ratio
        self._right, self._count = right, count

    def predict(self, columns: Floats) -> Gaussian:
        off = np.clip(columns - self._center, -10, 10)
        turned = off @ self._right.T
        outside = np.maximum((off**2).sum(axis=1) - (turned**2).sum(axis=1), 0.0)
        doubt = (turned**2 / self._shrunk).sum(axis=1) + outside / self._ratio + 1 / self._count
        return self._mean + off @ self._weight, np.sqrt(self._noise * (1 + doubt))


class _Null:
    """Score from cost alone, by isotonic regression; its spread from three folds, held out in turn."""

    def __init__(self, costs: Floats, scores: Floats) -> None:
        self._model = CostOnlyBaseline()
        self._model._fit(costs, scores)
        errors = np.zeros(len(scores))
        for k in range(3):
            out = np.arange(len(scores)) % 3 == k
            part = CostOnlyBaseline()
            part._fit(costs[~out], scores[~out])
            errors[out] = part._scores(costs[out]) - scores[out]
        self._spread = float(np.sqrt(np.mean(errors**2)))

    def predict(self, costs: Floats) -> Gaussian:
        return self._model._scores(costs), np.full(len(costs), self._spread)


def log_score(mean: float, spread: float, value: float) -> float:
    """Logarithm of the density of N(mean, spread^2) at `value`."""
    return -0.5 * ((value - mean) / spread) ** 2 - math.log(spread) - 0.5 * math.log(2 * math.pi)


def mixture_moments(foretold: Mapping[str, Gaussian], weights: Mapping[str, float]) -> Gaussian:
    """Mean and standard deviation of the weighted experts; the variance holds their disagreement."""
    names = [n for n in foretold if n in weights]
    share = np.array([weights[n] for n in names])
    share = share / share.sum() if share.sum() > 0 else np.full(len(names), 1 / len(names))
    means, spreads = np.array([foretold[n][0] for n in names]), np.array([foretold[n][1] for n in names])
    mean = share @ means
    return mean, np.sqrt(share @ (spreads**2 + (means - mean) ** 2))


@dataclass
class LogScoreWeights:
    """How well the experts foretold, told one trial at a time; a pure fold.

    Attributes:
        totals: Decayed sum of each expert's log-scores.
        own: Log-score of the weighted experts, per trial.
        base: Those of the null models.
        misses: Standardized errors of the weighted experts.
        pairs: What came, what was foretold, what the null model foretold, and the log cost.
        groups: What shares luck.
    """

    totals: dict[str, float] = field(default_factory=lambda: dict(INITIAL_LOG_WEIGHTS))
    own: list[float] = field(default_factory=list)
    base: list[dict[str, float]] = field(default_factory=list)
    misses: list[float] = field(default_factory=list)
    pairs: list[tuple[float, float, float, float]] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    _last: dict[str, int] = field(default_factory=dict)

    def add(self, foretold: Mapping[str, Sequence[float]], score: float, group: str, cost: float) -> None:
        """Take in what was foretold of a trial (mean and spread by expert), what came, and its group and log cost.

        Trials of one group share their luck: one whose group was heard before counts half.
        """
        experts = {n: (np.array([v[0]]), np.array([v[1]])) for n, v in foretold.items() if n in INITIAL_LOG_WEIGHTS}
        if not experts or "null" not in foretold:
            return
        share = 0.5 if group in self._last else 1.0
        self._last[group] = len(self.own)
        mean, spread = mixture_moments(experts, self.weights(experts))
        self.own.append(log_score(float(mean[0]), float(spread[0]), score))
        self.base.append({n: log_score(foretold[n][0], foretold[n][1], score) for n in ("null", "constant")})
        self.misses.append((score - float(mean[0])) / float(spread[0]))
        self.pairs.append((score, float(mean[0]), foretold["null"][0], cost))
        self.groups.append(group)
        for name in self.totals:
            self.totals[name] = INITIAL_LOG_WEIGHTS[name] + LOG_SCORE_DECAY * (
                self.totals[name] - INITIAL_LOG_WEIGHTS[name]
            )
        heard = {n: max(log_score(foretold[n][0], foretold[n][1], score), MIN_LOG_SCORE) for n in experts}
        middle = float(np.mean(list(heard.values())))
        for name, value in heard.items():  # an expert that is silent neither gains nor loses
            self.totals[name] += share * (value - middle)

    def weights(self, names: Mapping[str, object] | Sequence[str] | None = None) -> dict[str, float]:
        """Weight of each expert, summing to 1."""
        wanted = [n for n in self.totals if names is None or n in names]
        top = max(self.totals[n] for n in wanted)
        raw = {n: math.exp(self.totals[n] - top) for n in wanted}
        total = sum(raw.values())
        return {n: v / total for n, v in raw.items()}

    def lead(self) -> tuple[float, float, str]:
        """Mean lead in log-score over the better null model, its standard error, and which null that is."""
        if not self.own:
            return 0.0, math.inf, "null"
        own, base = self.own[-VALIDATION_WINDOW:], self.base[-VALIDATION_WINDOW:]
        sums = {n: sum(max(b[n], MIN_LOG_SCORE) for b in base) for n in ("null", "constant")}
        rival = max(sums, key=lambda n: sums[n])
        leads = np.array([max(o, MIN_LOG_SCORE) - max(b[rival], MIN_LOG_SCORE) for o, b in zip(own, base, strict=True)])
        labels = np.unique(self.groups[-VALIDATION_WINDOW:], return_inverse=True)[1]
        sums_by_group = np.bincount(labels, leads - leads.mean())
        error = math.sqrt(float((sums_by_group**2).sum())) / len(leads)
        return float(leads.mean()), error * math.sqrt(len(leads) / max(len(leads) - 1, 1)), rival

    def scores(self) -> tuple[float, float]:
        """Mean log-score of the weighted experts and of the better null model, none below `MIN_LOG_SCORE`."""
        own = float(np.mean([max(o, MIN_LOG_SCORE) for o in self.own[-VALIDATION_WINDOW:]])) if self.own else 0.0
        return own, own - self.lead()[0]


def quality_mixture(mean: ArrayLike, spread: ArrayLike, warp: HalfRank, parts: int = 8) -> Gaussian:
    """A score's Gaussian in units of the quality: a mixture of `parts` Gaussians of equal weight, [n, parts] each.

    The score's distribution is cut into parts of equal mass; each is carried back through the warp at its middle,
    with half the distance of its ends as its spread.
    """
    mean, spread = np.asarray(mean, dtype=float)[:, None], np.asarray(spread, dtype=float)[:, None]
    middles = warp.inverse(mean + spread * ndtri((np.arange(parts) + 0.5) / parts))
    ends = warp.inverse(mean + spread * np.clip(ndtri(np.arange(parts + 1) / parts), -2.5, 2.5))
    return middles, np.maximum(np.diff(ends, axis=1) * 0.4, 1e-9)
