"""What completed trials say of a cost that is predicted with an error and measured at the end of a trial.

The error of a prediction is taken in units of its own interval, `z = log(measured / middle) / s` with s the deviation
that the interval stands for, so that a cost which is nearly exact is hardly corrected. A Gaussian process on the config
predicts z; it is followed where, left out one by one, completed trials are predicted clearly better by it than by no
correction. The width of intervals follows the trials in any case. All of it is a function of the first n complete
trials.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from autoreg.engine.log.records import StudyState
from autoreg.engine.pareto.front import Floats
from autoreg.engine.problem import Interval, Problem
from autoreg.engine.surrogate.features import FeatureMap
from autoreg.engine.surrogate.gp import GaussianProcess, Kernel, fit_kernel
from autoreg.engine.surrogate.threads import one_thread
from autoreg.errors import AutoregError
from autoreg.trial_info import QUANTILE_95

MIN_ERRORS = 8
"""Fewest complete trials that errors are learned from."""
MAX_ERRORS = 200
"""Latest complete trials that they are learned from."""
REFIT_GROWTH = 1.5
"""Hyper-parameters are fitted anew when there are so many times as many trials as before."""
MAX_ERROR = 3.0
"""Errors beyond count as this much, so that one trial does not move the predictions of all others."""
MAX_ERROR_RATIO = 0.9
"""The process is followed where its mean absolute error is below this share of that without correction."""
PRIOR_TRIALS = 10
"""So many errors of one deviation are taken to have been seen before any trial: few errors say little of rare ones."""
MIN_SCALE = 1e-3
"""Errors that are all nearly the same are not told apart further."""
MIN_DEVIATION = 1e-6
"""An interval is taken to be at least so wide, as a deviation of the logarithm."""


@dataclass(frozen=True)
class _Hyperparameters:
    """Fitted to the first `trials` errors, divided by `scale`."""

    trials: int
    features: FeatureMap
    kernel: Kernel
    scale: float


@dataclass(frozen=True)
class _Fit:
    """Errors after `trials` complete trials as a function of the config.

    Attributes:
        trials: how many errors were seen.
        process: of the errors, divided by `scale`; None where none is expected.
        features: of configs, for the process.
        scale: see `process`; without one the root mean square of the errors.
    """

    trials: int
    process: GaussianProcess | None
    features: FeatureMap
    scale: float

    def error(self, encoded: Floats) -> tuple[float, float]:
        """Mean and deviation of the error of one encoded config [p]."""
        mean, variance = 0.0, self.scale**2
        if self.process is not None:
            means, variances = self.process.predict(self.features(encoded[None, :]))
            mean = self.scale * float(means[0])
            variance *= float(variances[0]) + self.process.noise_variance
        return mean, math.sqrt((self.trials * variance + PRIOR_TRIALS) / (self.trials + PRIOR_TRIALS))


class CostCorrection:
    """Corrects the intervals of the costs that a problem says are learned.

    Args:
        problem: The study.
    """

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        self._read = 0
        self._encoded: dict[str, list[Floats]] = {name: [] for name in problem.learned_costs}
        self._errors: dict[str, list[float]] = {name: [] for name in problem.learned_costs}
        self._hyperparameters: dict[str, _Hyperparameters] = {}
        self._fits: dict[str, tuple[int, _Fit]] = {}

    def update(self, state: StudyState) -> None:
        """Take in the trials that ended since it was last called."""
        for number in state.ended_numbers[self._read :] if self._errors else ():
            record = state.records[number]
            encoded = self._encode(record.config) if record.state == "COMPLETE" else None
            if encoded is None:
                continue
            try:
                predicted = self._problem.known_costs_and_intervals(record.config)[1]
            except AutoregError:
                continue
            for name, errors in self._errors.items():
                if name in predicted and record.metrics.get(name, 0.0) > 0:
                    interval = predicted[name]
                    errors.append(math.log(record.metrics[name] / interval.middle) / _deviation(interval))
                    self._encoded[name].append(encoded)
        self._read = len(state.ended_numbers)

    def corrected(self, config: dict[str, Any], intervals: Mapping[str, Interval]) -> dict[str, Interval]:
        """The intervals of a config, those of learned costs as completed trials say."""
        found = dict(intervals)
        names = [name for name in self._errors if name in found and len(self._errors[name]) >= MIN_ERRORS]
        encoded = self._encode(config) if names else None
        if encoded is None:
            return found
        with one_thread():
            for name in names:
                mean, spread = self._fit(name).error(encoded)
                unit, middle = _deviation(found[name]), found[name].middle
                ends = [middle * math.exp(unit * (mean + z * spread)) for z in (-QUANTILE_95, 0.0, QUANTILE_95)]
                found[name] = Interval(*ends)
        return found

    def _encode(self, config: dict[str, Any]) -> Floats | None:
        """Encoded config [p], None for a baseline from outside of the space."""
        if not self._problem.contains(config):
            return None
        return np.asarray(self._problem.space.encode_many([config])[0], dtype=float)

    def _fit(self, name: str) -> _Fit:
        count = len(self._errors[name])
        if name not in self._fits or self._fits[name][0] != count:
            self._fits[name] = count, self._fitted(name, count)
        return self._fits[name][1]

    def _fitted(self, name: str, count: int) -> _Fit:
        known = self._hyperparameters.get(name)
        if known is None or known.trials != _refit_count(count):
            known = self._hyperparameters[name] = self._hyperparameters_at(name, _refit_count(count))
        errors, encoded = self._latest(name, count)
        process = GaussianProcess(known.kernel, known.features(encoded), errors / known.scale)
        left_out = known.scale * float(np.abs(process.left_out_errors()).mean())
        if left_out < MAX_ERROR_RATIO * float(np.abs(errors).mean()):
            return _Fit(len(errors), process, known.features, known.scale)
        all_of_it = np.array(self._errors[name][max(count - MAX_ERRORS, 0) : count])
        return _Fit(len(errors), None, known.features, math.sqrt(float((all_of_it**2).mean())))

    def _latest(self, name: str, count: int) -> tuple[Floats, Floats]:
        """The latest of the first `count` errors, without outliers, and the configs that they are of."""
        latest = slice(max(count - MAX_ERRORS, 0), count)
        errors = np.clip(self._errors[name][latest], -MAX_ERROR, MAX_ERROR)
        return errors, np.array(self._encoded[name][latest])

    def _hyperparameters_at(self, name: str, count: int) -> _Hyperparameters:
        errors, encoded = self._latest(name, count)
        features, scale = FeatureMap.of(encoded), max(float(errors.std()), MIN_SCALE)
        return _Hyperparameters(count, features, fit_kernel(features(encoded), (errors - errors.mean()) / scale), scale)


def _refit_count(count: int) -> int:
    """Trials that the hyper-parameters are fitted to: the last of fixed counts that was reached."""
    reached = MIN_ERRORS
    while int(reached * REFIT_GROWTH) <= count:
        reached = int(reached * REFIT_GROWTH)
    return reached


def _deviation(interval: Interval) -> float:
    """The deviation of the logarithm that an interval stands for, 5 % on each side."""
    return max(math.log(interval.high / interval.low) / (2 * QUANTILE_95), MIN_DEVIATION)
