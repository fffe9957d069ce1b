"""Boosted trees and the null model, as scikit-learn regressors that read NaN as "not active".

Both learn ranks: targets are mapped to normal scores first, predictions mapped back.
"""

from __future__ import annotations

from typing import Any, Self, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.isotonic import IsotonicRegression
from sklearn.utils.validation import check_is_fitted, validate_data

Floats = NDArray[np.float64]


class RankGaussian:
    """Maps numbers to the normal scores of their ranks and back, by linear interpolation.

    Example:
        >>> warp = RankGaussian([1.0, 10.0, 100.0])
        >>> warp.forward([10.0]).round(6).tolist()
        [0.0]
        >>> warp.inverse([0.0]).tolist()
        [10.0]
    """

    def __init__(self, values: ArrayLike) -> None:
        from scipy.special import ndtri
        from scipy.stats import rankdata

        numbers = np.asarray(values, dtype=float)
        scores = ndtri((rankdata(numbers) - 0.5) / len(numbers))
        self.values, first = np.unique(numbers, return_index=True)
        self.scores: Floats = scores[first]

    def forward(self, values: ArrayLike) -> Floats:
        """Normal scores of `values`; what lies beyond those seen takes the outermost score."""
        return np.asarray(np.interp(np.asarray(values, dtype=float), self.values, self.scores))

    def inverse(self, scores: ArrayLike) -> Floats:
        """Values at `scores`; never beyond those seen."""
        return np.asarray(np.interp(np.asarray(scores, dtype=float), self.scores, self.values))


class _Ranked(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """What the predictors share: input checks and the warped target. Not for use by itself."""

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Learn from configs X [n, p], NaN where a parameter is not active, and quality y [n]."""
        X, y = validate_data(self, X, y, ensure_all_finite="allow-nan", y_numeric=True, dtype=np.float64)
        self.warp_ = RankGaussian(y)
        self._fit(cast(Floats, X), self.warp_.forward(y))
        return self

    def score_of(self, X: ArrayLike) -> Floats:
        """Predicted normal scores [n]; small means a small target."""
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, ensure_all_finite="allow-nan", dtype=np.float64)
        return self._scores(cast(Floats, X))

    def predict(self, X: ArrayLike) -> Floats:
        """Predicted quality [n], in its own units."""
        return self.warp_.inverse(self.score_of(X)) if hasattr(self, "warp_") else self.score_of(X)

    def _fit(self, X: Floats, scores: Floats) -> None:
        raise NotImplementedError

    def _scores(self, X: Floats) -> Floats:
        raise NotImplementedError


class BoostedTrees(_Ranked):
    """XGBoost: shallow, slow, sub-sampled trees, which win below 200 trials.

    Settings from papers built on 60,000 points (depth 13, min_child_weight 39) correlate with
    nothing at 50 trials.

    Args:
        rounds: Number of trees.
        depth: Depth of a tree.
        eta: Learning rate, in (0, 1].
        seed: Seed of the sub-sampling.

    Reference: Chen and Guestrin, "XGBoost: a scalable tree boosting system", 2016, arXiv 1603.02754.
    """

    def __init__(self, rounds: int = 300, depth: int = 3, eta: float = 0.05, seed: int = 0) -> None:
        self.rounds = rounds
        self.depth = depth
        self.eta = eta
        self.seed = seed

    def _fit(self, X: Floats, scores: Floats) -> None:
        import xgboost

        settings = {"max_depth": self.depth, "eta": self.eta, "subsample": 0.8, "colsample_bytree": 0.8}
        fixed = {"min_child_weight": 1, "nthread": 1, "seed": self.seed, "tree_method": "exact", "verbosity": 0}
        self.booster_ = xgboost.train(settings | fixed, xgboost.DMatrix(X, scores, nthread=1), self.rounds)

    def _scores(self, X: Floats) -> Floats:
        import xgboost

        return np.asarray(self.booster_.predict(xgboost.DMatrix(X, nthread=1)), dtype=float)


class CostOnlyBaseline(_Ranked):
    """The null model: quality is a monotone function of each cost alone, averaged over the costs.

    A predictor that ranks no better than this has learned nothing but that small is bad.
    X holds logarithms of costs [n, k]; without costs (k columns of one value) it predicts the mean.

    Reference: isotonic regression, Barlow et al. 1972.
    """

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.regressor_tags.poor_score = True  # one cost at a time is not meant to fit well
        return tags

    def _fit(self, X: Floats, scores: Floats) -> None:
        X = np.nan_to_num(X)
        self.lines_ = [
            IsotonicRegression(increasing=_rising(column, scores), out_of_bounds="clip").fit(column, scores)
            for column in X.T
        ]

    def _scores(self, X: Floats) -> Floats:
        columns = np.nan_to_num(X).T
        return np.asarray(
            np.mean([line.predict(c) for line, c in zip(self.lines_, columns, strict=True)], axis=0), dtype=float
        )


def _rising(column: Floats, scores: Floats) -> bool:
    return bool(np.dot(column - column.mean(), scores - scores.mean()) >= 0)
