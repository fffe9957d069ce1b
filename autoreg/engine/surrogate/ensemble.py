"""The base models that predict the quality of a config, and what they are together.

All are fitted to the same target, warped by `HalfLog`, and predict a mean and a standard deviation of its score. They
are weighted by how well they predicted trials before these completed, see `autoreg.engine.surrogate.weighting`; what
they disagree about is added to the variance.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from autoreg.engine.pareto.front import Floats
from autoreg.engine.surrogate.features import FeatureMap
from autoreg.engine.surrogate.gp import GaussianProcess, Kernel, fit_kernel
from autoreg.engine.surrogate.linear import BayesianRidge
from autoreg.engine.surrogate.output_warping import HalfLog
from autoreg.engine.surrogate.weighting import COST_ONLY, MEAN_ONLY, Gaussian
from autoreg.lazy import lazy_module

if TYPE_CHECKING:
    from scipy import special

    from autoreg.engine.surrogate import boosted_trees
else:
    special = lazy_module("scipy.special")
    boosted_trees = lazy_module("autoreg.engine.surrogate.boosted_trees")  # its classes are scikit-learn's

TREES_MIN_TRIALS = 20
"""Trees find nothing in fewer trials."""
TREE_ROUNDS, TREE_ETA = 150, 0.08
"""Half the rounds of `BoostedTrees` at a higher rate: as good below 200 trials, and twice as fast."""
TREE_FOLDS = 4
TREE_ONE_FOLD_FROM = 200
"""Folds for the error of the trees; from so many trials on one fold tells as much as all."""
KERNEL_FIT_TRIALS = 128
"""Trials that the hyper-parameters of the Gaussian process are fitted to, at most."""
GP_MAX_TRIALS = 256
"""Trials that the Gaussian process is conditioned on, at most: the best by score and the latest."""
LINEAR_MAX_TRIALS = 1000
"""Trials that the linear model and the cost-only baseline are fitted to, at most."""
MIN_PREDICTED_STD = 0.05
"""No base model is surer of a score than this, in standard deviations of all scores."""
BASELINE_FOLDS = 3


@dataclass(frozen=True)
class Hyperparameters:
    """What is expensive to fit, and fitted now and then.

    Attributes:
        trials: How many trials it was fitted to.
        warp: Of the target.
        features: Of the configs.
        kernel: Of the Gaussian process.
        trees: Over raw encoded configs, and the deviation of their held-out errors; None with few trials.
    """

    trials: int
    warp: HalfLog
    features: FeatureMap
    kernel: Kernel
    trees: tuple[boosted_trees.BoostedTrees, float] | None = None


def fit_hyperparameters(
    encoded: Floats, quality: Floats, costs: Floats, seed: int = 0, warp: HalfLog | None = None
) -> Hyperparameters:
    """Fit what is expensive.

    Args:
        encoded: Configs [n, p], NaN where inactive.
        quality: Theirs, to be minimized [n].
        costs: Logarithms of their known costs [n, k]; k may be 0.
        seed: Of the trees.
        warp: Of the quality; None fits one.
    """
    encoded = np.hstack([encoded, costs])
    warp, features = warp or HalfLog(quality), FeatureMap.of(encoded, costs.shape[1])
    scores = warp.forward(quality)
    columns = features(encoded)
    subset = best_and_latest(scores, KERNEL_FIT_TRIALS)
    kernel = fit_kernel(columns[subset], scores[subset] - scores[subset].mean())
    trees = _fit_trees(encoded, scores, seed) if len(scores) >= TREES_MIN_TRIALS else None
    return Hyperparameters(len(scores), warp, features, kernel, trees)


def _fit_trees(encoded: Floats, scores: Floats, seed: int) -> tuple[boosted_trees.BoostedTrees, float]:
    """Shallow boosted trees, and the deviation of their errors on folds that are held out in turn."""

    def fitted(rows: NDArray[np.int64]) -> boosted_trees.BoostedTrees:
        return boosted_trees.BoostedTrees(TREE_ROUNDS, eta=TREE_ETA, seed=seed).fit_scores(encoded[rows], scores[rows])

    order = np.random.default_rng([seed, len(scores)]).permutation(len(scores))
    folds = [order[k::TREE_FOLDS] for k in range(TREE_FOLDS if len(scores) <= TREE_ONE_FOLD_FROM else 1)]
    errors = [fitted(np.setdiff1d(order, out)).predict_scores(encoded[out]) - scores[out] for out in folds]
    return fitted(np.arange(len(scores))), float(np.sqrt(np.mean(np.concatenate(errors) ** 2)))


def best_and_latest(scores: Floats, most: int) -> NDArray[np.int64]:
    """Indices of the trials that a model is fitted to: half the best by score, half the latest, ascending."""
    if len(scores) <= most:
        return np.arange(len(scores))
    best = np.argsort(scores, kind="stable")[: most // 2]
    latest = np.setdiff1d(np.arange(len(scores)), best)[-(most - len(best)) :]
    return np.sort(np.concatenate([best, latest]))


class Ensemble:
    """The base models, fitted to all trials at given hyper-parameters.

    Args:
        hyperparameters: What was fitted now and then.
        encoded: Configs [n, p], NaN where inactive.
        quality: To be minimized [n].
        costs: Logarithms of their known costs [n, k]; k may be 0.
    """

    def __init__(self, hyperparameters: Hyperparameters, encoded: Floats, quality: Floats, costs: Floats) -> None:
        self.hyperparameters = hyperparameters
        scores = hyperparameters.warp.forward(quality)
        self._scores = scores
        columns = hyperparameters.features(np.hstack([encoded, costs]))
        subset = best_and_latest(scores, GP_MAX_TRIALS)
        self._process = GaussianProcess(hyperparameters.kernel, columns[subset], scores[subset])
        subset = best_and_latest(scores, LINEAR_MAX_TRIALS)
        self._ridge = BayesianRidge(columns[subset], scores[subset])
        latest = slice(-LINEAR_MAX_TRIALS, None)
        self._cost_only = _CostOnly(costs[latest], scores[latest]) if costs.shape[1] else None

    def predict(self, encoded: Floats, costs: Floats, *, baselines: bool = False) -> dict[str, Gaussian]:
        """Mean and standard deviation of scores by each base model and by the baselines.

        The standard deviation is that of what would be observed, noise included.

        Args:
            encoded: Configs [n, p].
            costs: Logarithms of their known costs [n, k].
            baselines: Whether the mean-only baseline predicts too. The cost-only one always does where costs are known.
        """
        wide = np.hstack([encoded, costs])
        columns = self.hyperparameters.features(wide)
        mean, variance = self._process.predict(columns)
        out: dict[str, Gaussian] = {
            "gp": (mean, np.sqrt(variance + self._process.noise_variance)),
            "ridge": self._ridge.predict(columns),
        }
        if self.hyperparameters.trees is not None:
            model, spread = self.hyperparameters.trees
            out["trees"] = (model.predict_scores(wide), np.full(len(encoded), spread))
        if self._cost_only is not None:
            out[COST_ONLY] = self._cost_only.predict(costs)
        if baselines:
            # the spread of one more score: that of those before, and of their mean and deviation
            spread = float(self._scores.std()) * math.sqrt(1 + 2 / len(self._scores))
            out[MEAN_ONLY] = (np.full(len(encoded), self._scores.mean()), np.full(len(encoded), spread))
            out.setdefault(COST_ONLY, out[MEAN_ONLY])
        return {k: (m, np.maximum(s, MIN_PREDICTED_STD)) for k, (m, s) in out.items()}

    @property
    def base_models(self) -> Sequence[str]:
        """Names of the models that are fitted."""
        return ["gp", "ridge"] + (["trees"] if self.hyperparameters.trees is not None else [])

    @property
    def noise_variance(self) -> float:
        """Variance of the noise of a score, as the Gaussian process sees it."""
        return self._process.noise_variance


class _CostOnly:
    """The cost-only baseline with a spread: that of its errors on folds that are held out in turn."""

    def __init__(self, costs: Floats, scores: Floats) -> None:
        self._model = boosted_trees.CostOnlyBaseline().fit_scores(costs, scores)
        errors = np.zeros(len(scores))
        for k in range(BASELINE_FOLDS):
            out = np.arange(len(scores)) % BASELINE_FOLDS == k
            part = boosted_trees.CostOnlyBaseline().fit_scores(costs[~out], scores[~out])
            errors[out] = part.predict_scores(costs[out]) - scores[out]
        self._spread = float(np.sqrt(np.mean(errors**2)))

    def predict(self, costs: Floats) -> Gaussian:
        return self._model.predict_scores(costs), np.full(len(costs), self._spread)


def quality_mixture(mean: ArrayLike, spread: ArrayLike, warp: HalfLog, parts: int = 8) -> Gaussian:
    """A score's Gaussian in units of the quality: a mixture of `parts` Gaussians of equal weight, [n, parts] each.

    The score's distribution is cut into parts of equal mass; each is mapped back through the warp at its middle, with
    0.4 of the distance of its ends as its spread.
    """
    mean, spread = np.asarray(mean, dtype=float)[:, None], np.asarray(spread, dtype=float)[:, None]
    middles = warp.inverse(mean + spread * special.ndtri((np.arange(parts) + 0.5) / parts))
    ends = warp.inverse(mean + spread * np.clip(special.ndtri(np.arange(parts + 1) / parts), -2.5, 2.5))
    return middles, np.maximum(np.diff(ends, axis=1) * 0.4, 1e-9)
