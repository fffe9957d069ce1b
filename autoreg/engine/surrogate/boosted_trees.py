"""Boosted trees and the cost-only baseline, as scikit-learn regressors that read NaN as "not active".

Both are fitted to ranks: targets are mapped to normal scores first, predictions mapped back. Inside of the ensemble,
whose targets are scores already, `fit_scores` and `predict_scores` do the work without that map.
"""

from __future__ import annotations

from typing import Any, Self, cast

import numpy as np
import xgboost
from numpy.typing import ArrayLike
from scipy.special import ndtri
from scipy.stats import rankdata
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.isotonic import IsotonicRegression
from sklearn.utils.validation import check_is_fitted, validate_data

from autoreg.engine.pareto.front import Floats


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
        numbers = np.asarray(values, dtype=float)
        scores = ndtri((rankdata(numbers) - 0.5) / len(numbers))
        self.values, first = np.unique(numbers, return_index=True)
        self.scores: Floats = scores[first]

    def forward(self, values: ArrayLike) -> Floats:
        """Normal scores of `values`; what lies beyond those fitted takes the outermost score."""
        return np.asarray(np.interp(np.asarray(values, dtype=float), self.values, self.scores))

    def inverse(self, scores: ArrayLike) -> Floats:
        """Values at `scores`; never beyond those fitted."""
        return np.asarray(np.interp(np.asarray(scores, dtype=float), self.scores, self.values))


class _RankGaussianRegressor(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """What the regressors share: input checks and the warped target. Not for use by itself."""

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Fit to configs X [n, p], NaN where a parameter is not active, and quality y [n]."""
        X, y = validate_data(self, X, y, ensure_all_finite="allow-nan", y_numeric=True, dtype=np.float64)
        self.warp_ = RankGaussian(y)
        return self.fit_scores(cast(Floats, X), self.warp_.forward(y))

    def predict(self, X: ArrayLike) -> Floats:
        """Predicted quality [n], in its own units."""
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, ensure_all_finite="allow-nan", dtype=np.float64)
        return self.warp_.inverse(self.predict_scores(cast(Floats, X)))

    def fit_scores(self, X: Floats, scores: Floats) -> Self:
        """Fit to scores [n] as they are, inputs unchecked."""
        raise NotImplementedError

    def predict_scores(self, X: Floats) -> Floats:
        """Predicted scores [n], inputs unchecked."""
        raise NotImplementedError


class BoostedTrees(_RankGaussianRegressor):
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

    def fit_scores(self, X: Floats, scores: Floats) -> Self:
        """Fit the trees to scores [n]."""
        parameters: dict[str, Any] = {
            "max_depth": self.depth,
            "eta": self.eta,
            "subsample": 0.8,
            "colsample_bytree": 0.8,
        }
        parameters |= {"min_child_weight": 1, "nthread": 1, "seed": self.seed, "tree_method": "exact", "verbosity": 0}
        self.booster_ = xgboost.train(parameters, xgboost.DMatrix(X, scores, nthread=1), self.rounds)
        return self

    def predict_scores(self, X: Floats) -> Floats:
        """Predicted scores [n]."""
        return np.asarray(self.booster_.predict(xgboost.DMatrix(X, nthread=1)), dtype=float)


class CostOnlyBaseline(_RankGaussianRegressor):
    """Quality as a monotone function of each cost alone, averaged over the costs.

    A predictor that ranks no better than this has learned nothing but that small is bad.
    X holds logarithms of costs [n, k]; without costs (k columns of one value) it predicts the mean.

    Reference: isotonic regression, Barlow et al. 1972.
    """

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.regressor_tags.poor_score = True  # one cost at a time is not meant to fit well
        return tags

    def fit_scores(self, X: Floats, scores: Floats) -> Self:
        """Fit one isotonic regression for each cost to scores [n]."""
        self.regressions_ = [
            IsotonicRegression(increasing=_rises(column, scores), out_of_bounds="clip").fit(column, scores)
            for column in np.nan_to_num(X).T
        ]
        return self

    def predict_scores(self, X: Floats) -> Floats:
        """Mean of what the regressions predict [n]."""
        columns = np.nan_to_num(X).T
        parts = [model.predict(column) for model, column in zip(self.regressions_, columns, strict=True)]
        return np.asarray(np.mean(parts, axis=0), dtype=float)


def _rises(column: Floats, scores: Floats) -> bool:
    return bool(np.dot(column - column.mean(), scores - scores.mean()) >= 0)
