"""Keeps the surrogate up to date with the completed trials of a study.

All of it is a function of the first n completed trials, whenever it is looked at: a resumed study has the
same surrogate as one that was never killed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from autoreg.engine.log.prediction import Prediction
from autoreg.engine.log.records import Record, StudyState
from autoreg.engine.pareto.front import Floats
from autoreg.engine.problem import Problem
from autoreg.engine.surrogate import validation
from autoreg.engine.surrogate.auxiliary_points import AuxiliaryPoints, Uncompressed
from autoreg.engine.surrogate.ensemble import Ensemble, Hyperparameters, fit_hyperparameters
from autoreg.engine.surrogate.fitted import FittedSurrogate, log_costs
from autoreg.engine.surrogate.gp import Kernel
from autoreg.engine.surrogate.output_warping import HalfLog
from autoreg.engine.surrogate.threads import one_thread
from autoreg.engine.surrogate.weighting import COST_ONLY, LogScoreWeights, mixture_moments, trust

MIN_TRIALS = 8
"""Fewest complete trials that a surrogate is fitted to."""
REFIT_PERIOD = 3
"""Complete trials between two fits of the hyper-parameters, at least; an eighth of all where that is more."""
QUANTILE_90 = 1.2816
"""Standard deviations of a normal distribution from its median to its 90 % quantile: both sides enclose 80 %."""


class SurrogateFitter:
    """Fits hyper-parameters and trees now and then, the base models with every trial.

    Args:
        problem: The study.
        seed: Seed of the trees.
        min_trials: Fewest complete trials to fit to.
        group: Label of the trials that share their seed's noise (their trained prefix, say); None: each has its own.
        uncompressed: The uncompressed prefix of a config, see `autoreg.engine.surrogate.auxiliary_points`.

    Attributes:
        training: The group as it was given.
    """

    def __init__(
        self,
        problem: Problem,
        seed: int = 0,
        min_trials: int = MIN_TRIALS,
        group: Callable[[dict[str, Any]], str] | None = None,
        uncompressed: Uncompressed | None = None,
    ) -> None:
        self._problem = problem
        self._seed = seed
        self._min_trials = min_trials
        self._group = group or problem.identity
        self.training = group
        self._auxiliary = AuxiliaryPoints(problem, uncompressed)
        self._sign = float(problem.signs[problem.names.index(problem.quality)])
        self._observations: list[Record] = []
        self._ended = 0
        self._groups: dict[int, str] = {}
        self._warps: dict[int, HalfLog] = {}
        self._forget_encodings()

    def _forget_encodings(self) -> None:
        """Begin anew with all that depends on the columns of encoded configs."""
        self._encoded: dict[int, Floats | None] = {}
        self._matrix: Floats = np.zeros((0, 0))
        self._log_costs: Floats = np.zeros((0, 0))
        self._hyperparameters: tuple[int, dict[str, Hyperparameters]] | None = None
        self._fitted: FittedSurrogate | None = None
        self._validated = 0
        self.log_scores = LogScoreWeights()
        self._auxiliary.encode_again()

    @property
    def observations(self) -> Sequence[Record]:
        """Complete trials whose config belongs to the space, re-evaluations too, in the order in which they ended."""
        return self._observations

    def fit(self, state: StudyState) -> FittedSurrogate | None:
        """Bring the surrogate up to date with a state; None with too few trials."""
        for number in state.ended_numbers[self._ended :]:
            record = state.records[number]
            if record.state == "COMPLETE" and self._encode(record) is not None:
                self._observations.append(record)
                self._auxiliary.add(record, len(self._observations))
                self._check_prior(record)
        self._ended = len(state.ended_numbers)
        if len(self._observations) < self._min_trials:
            return None
        if self._fitted is None or self._fitted.trials != len(self._observations):
            with one_thread():
                self._validate_predictions()
                self._fitted = self._fit()
        return self._fitted

    def validation(self, state: StudyState) -> validation.Validation | None:
        """How well trials were predicted before they completed; None with too few trials."""
        fitted = self.fit(state)
        return None if fitted is None else validation.validate(self.log_scores, fitted)

    def predict(self, fitted: FittedSurrogate, config: dict[str, Any], costs: Mapping[str, float]) -> Prediction | None:
        """The prediction of one config, to be recorded with it: median, 80 % bounds, and that of every base model.

        The median and the bounds are no worse than the worst trial. None where the config does not belong to the space.
        """
        encoded = self._problem.encoded(config)
        if encoded is None:
            return None
        ensemble = fitted.ensembles[self._problem.quality]
        by_model = {
            name: (round(float(mean[0]), 6), round(float(spread[0]), 6))
            for name, (mean, spread) in ensemble.predict(
                encoded[None, :], fitted.log_costs([costs]), baselines=True
            ).items()
        }
        weighted = {n: (np.array([m]), np.array([s])) for n, (m, s) in by_model.items() if n in fitted.weights}
        mean, spread = mixture_moments(weighted, fitted.weights)
        warp, worst = ensemble.hyperparameters.warp, max(self._values(self._problem.quality, self._observations))
        scores = mean + np.array([-QUANTILE_90, 0.0, QUANTILE_90]) * spread
        ends = [self._sign * value for value in np.minimum(warp.inverse(scores), worst).tolist()]
        return Prediction(
            {self._problem.quality: ends[1]},
            low=min(ends),
            high=max(ends),
            trials=fitted.trials,
            trusted=fitted.trusted,
            warp_trials=fitted.hyperparameter_trials,
            scores=by_model,
        )

    def group(self, record: Record) -> str:
        """Label of what a trial shares its seed's noise with."""
        if record.number not in self._groups:
            self._groups[record.number] = self._group(record.config)
        return self._groups[record.number]

    def gp_data(self, fitted: FittedSurrogate, records: Sequence[Record]) -> tuple[Kernel, Floats, Floats, float]:
        """Complete trials as the Gaussian process sees them: kernel, columns [n, p], scores [n], noise variance."""
        ensemble = fitted.ensembles[self._problem.quality]
        parameters = ensemble.hyperparameters
        columns = parameters.features(
            np.hstack([self._encode_all(records), fitted.log_costs([r.costs for r in records])])
        )
        scores = parameters.warp.forward(self._values(self._problem.quality, records))
        return parameters.kernel, columns, scores, ensemble.noise_variance

    # -- inputs ---------------------------------------------------------------------------------

    def _check_prior(self, record: Record) -> None:
        """Show the prior a trial. If that ends it, its column is gone and all is fitted anew."""
        prior = self._problem.prior
        if prior is None or not prior.active:
            return
        config = self._problem.inside(record.config) or record.config
        prior.update(len(self._observations), config, self._sign * record.metrics[self._problem.quality])
        if not prior.active:
            self._forget_encodings()

    def _cost_names(self) -> tuple[str, ...]:
        """Objectives beside the quality that were known in advance of all of the first trials."""
        first = self._observations[: self._min_trials]
        names = self._problem.names
        return tuple(n for n in names if n != self._problem.quality and all(n in r.costs for r in first))

    def _log_costs_of(self, records: Sequence[Record]) -> Floats:
        return log_costs(self._cost_names(), [r.costs for r in records])

    def _encode(self, record: Record) -> Floats | None:
        if record.number not in self._encoded:
            self._encoded[record.number] = self._problem.encoded(record.config)
        return self._encoded[record.number]

    def _encode_all(self, records: Sequence[Record]) -> Floats:
        return np.array([self._encode(r) for r in records])

    def _values(self, name: str, records: Sequence[Record]) -> Floats:
        sign = float(self._problem.signs[self._problem.names.index(name)])
        return np.asarray(sign * np.array([r.metrics[name] for r in records], dtype=float))

    def _inputs(self) -> tuple[Floats, Floats]:
        """Encoded configs and log costs of all observations; only those of new ones are worked out."""
        fresh = self._observations[len(self._matrix) :]
        if len(self._matrix) and fresh:
            self._matrix = np.vstack([self._matrix, self._encode_all(fresh)])
            self._log_costs = np.vstack([self._log_costs, self._log_costs_of(fresh)])
        elif fresh:
            self._matrix, self._log_costs = self._encode_all(fresh), self._log_costs_of(fresh)
        return self._matrix, self._log_costs

    def _with_auxiliary(
        self, encoded: Floats, quality: Floats, logs: Floats, count: int
    ) -> tuple[Floats, Floats, Floats]:
        """The first `count` trials and their auxiliary points, each before the trial that it came with."""
        points = self._auxiliary.at(count)
        if not points:
            return encoded, quality, logs
        # The trial of a point that came with the n-th stands at n - 1, the point itself half a place before.
        order = np.argsort([*(p.since - 1.5 for p, _ in points), *range(count)], kind="stable")
        rows = np.vstack([*(row for _, row in points), encoded])
        values = np.concatenate([[self._sign * p.value for p, _ in points], quality])
        costs = np.vstack([log_costs(self._cost_names(), [p.costs for p, _ in points]), logs])
        return rows[order], values[order], costs[order]

    # -- fitting --------------------------------------------------------------------------------

    def _hyperparameter_trials(self) -> int:
        """Trials that the hyper-parameters are fitted to: the last of fixed counts that was reached."""
        count = self._min_trials
        while (step := max(REFIT_PERIOD, count // 8)) <= len(self._observations) - count:
            count += step
        return count

    def _warp(self, count: int) -> HalfLog:
        if count not in self._warps:
            self._warps[count] = HalfLog(self._values(self._problem.quality, self._observations[:count]))
        return self._warps[count]

    def _fit(self) -> FittedSurrogate:
        problem, records = self._problem, self._observations
        count = self._hyperparameter_trials()
        known = self._cost_names()
        encoded, logs = self._inputs()
        data = {n: (encoded, self._values(n, records), logs) for n in problem.names if n not in known}
        if self._hyperparameters is None or self._hyperparameters[0] != count:
            first = {n: (e[:count], v[:count], c[:count]) for n, (e, v, c) in data.items()}
            first[problem.quality] = self._with_auxiliary(*first[problem.quality], count)
            warps = {problem.quality: self._warp(count)}
            self._hyperparameters = (
                count,
                {n: fit_hyperparameters(*d, self._seed, warps.get(n)) for n, d in first.items()},
            )
        data[problem.quality] = self._with_auxiliary(*data[problem.quality], len(records))
        ensembles = {n: Ensemble(self._hyperparameters[1][n], *d) for n, d in data.items()}
        lead, error, rival = self.log_scores.lead()
        predicted = len(self.log_scores.ensemble)
        trusted, reason = trust(lead, error, rival, predicted)
        members = list(ensembles[problem.quality].base_models)
        if not trusted and rival == COST_ONLY:  # it is followed too, by what it predicted: better than to give up
            trusted, reason, members = True, f"{reason}; cost alone counts too", [*members, COST_ONLY]
        weights = self.log_scores.weights(members)
        return FittedSurrogate(count, len(records), ensembles, known, weights, lead, error, predicted, trusted, reason)

    # -- validation -----------------------------------------------------------------------------

    def _validate_predictions(self) -> None:
        """Score the predictions of trials that completed; the first few are predicted from the half before them."""
        if self._validated == 0:
            self._predict_first()
            self._validated = self._min_trials
        for record in self._observations[self._validated :]:
            prediction = record.prediction
            if prediction is not None and 0 < prediction.warp_trials <= len(self._observations):
                value = self._sign * record.metrics[self._problem.quality]
                score = float(self._warp(prediction.warp_trials).forward([value])[0])
                self._score(record, prediction.scores, score)
        self._validated = len(self._observations)

    def _predict_first(self) -> None:
        half = max(self._min_trials // 2 + 1, 4)
        first, rest = self._observations[:half], self._observations[half : self._min_trials]
        data = self._encode_all(first), self._values(self._problem.quality, first), self._log_costs_of(first)
        parameters = fit_hyperparameters(*data, self._seed)
        predictions = Ensemble(parameters, *data).predict(
            self._encode_all(rest), self._log_costs_of(rest), baselines=True
        )
        scores = parameters.warp.forward(self._values(self._problem.quality, rest))
        for k, record in enumerate(rest):
            by_model = {n: (float(mean[k]), float(spread[k])) for n, (mean, spread) in predictions.items()}
            self._score(record, by_model, float(scores[k]))

    def _score(self, record: Record, predictions: Mapping[str, tuple[float, float]], score: float) -> None:
        cost = float(self._log_costs_of([record]).mean()) if self._cost_names() else 0.0
        self.log_scores.update(predictions, score, self.group(record), cost)
