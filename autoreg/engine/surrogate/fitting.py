"""Choosing among candidates before they are trained, by foretold quality at known cost."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from autoreg.engine.log.prediction import Prediction
from autoreg.engine.log.records import Record, StudyState
from autoreg.engine.pareto.front import Floats
from autoreg.engine.problem import Problem
from autoreg.engine.surrogate.auxiliary_points import AuxiliaryPoints, Uncompressed
from autoreg.engine.surrogate.threads import one_thread

if TYPE_CHECKING:
    from autoreg.engine.surrogate.ensemble import Ensemble, Hyperparameters, LogScoreWeights
    from autoreg.engine.surrogate.gp import Kernel
    from autoreg.engine.surrogate.output_warping import HalfRank
    from autoreg.engine.surrogate.validation import Quality

MIN_TRIALS = 8
"""Fewest complete trials that the experts learn from."""
TRUST_MIN_SCORED = 12
"""Fewest trials that must have been foretold before the experts can lose trust."""
DISTRUST_MARGIN = 0.05
DISTRUST_STANDARD_ERRORS = 2.0
"""How far they must be behind a null model for that: in log-score, nats a trial, and in standard errors of the lead."""


@dataclass(frozen=True)
class FittedSurrogate:
    """What the experts know after `trials` complete trials, and how they are weighed.

    Attributes:
        count: Trials that the costly hyperparameters were learned from, and the warp with them.
        trials: Trials that the experts were fitted to.
        ensembles: Experts per objective that is not known in advance.
        known: Objectives whose logarithms the experts see beside the config.
        weights: Of the experts of the quality.
        lead: Mean lead of the weighted experts in log-score over the better null model, in nats a trial.
        error: Its standard error.
        scored: How many trials were foretold and told.
        trusted: Whether proposals listen.
        reason: Why, or why not.
    """

    count: int
    trials: int
    ensembles: Mapping[str, Ensemble]
    known: tuple[str, ...]
    weights: Mapping[str, float]
    lead: float
    error: float
    scored: int
    trusted: bool
    reason: str

    def logs(self, costs: Sequence[Mapping[str, float]]) -> Floats:
        """Logarithms [n, k] of the known costs of candidates."""
        return logs_of(self.known, costs)


def logs_of(names: Sequence[str], costs: Sequence[Mapping[str, float]]) -> Floats:
    """Logarithms [n, k] of some costs."""
    table = np.array([[c.get(n, 1e-12) for n in names] for c in costs], dtype=float).reshape(len(costs), len(names))
    return np.asarray(np.log(np.maximum(table, 1e-12)))


class SurrogateFitter:
    """Keeps the experts up to date: warp, parameters and trees now and then, the rest with every trial.

    What is learned depends on recorded trials alone, so that a resumed study learns the same.

    Args:
        problem: The study.
        seed: Seed of the trees.
        least: Fewest complete trials to learn from.
        every: Complete trials between two times that hyperparameters are learned; grows to an eighth of the trials.
        group: Label of the trials that share luck (their trained prefix, say).
        uncompressed: The uncompressed prefix of a config, see `autoreg.engine.surrogate.auxiliary_points`.
    """

    def __init__(
        self,
        problem: Problem,
        seed: int = 0,
        least: int = MIN_TRIALS,
        every: int = 3,
        group: Callable[[dict[str, Any]], str] | None = None,
        uncompressed: Uncompressed | None = None,
    ) -> None:
        from autoreg.engine.surrogate.ensemble import LogScoreWeights

        self._problem = problem
        self._seed = seed
        self._least = least
        self._every = every
        self._group = group or problem.identity
        self._prefixes = AuxiliaryPoints(problem, uncompressed)
        self._rows: dict[int, Floats | None] = {}
        self._groups: dict[int, str] = {}
        self._usable: list[Record] = []
        self._matrix: Floats = np.zeros((0, 0))
        self._logged: Floats = np.zeros((0, 0))
        self._heard = 0
        self._scored = 0
        self._warps: dict[int, HalfRank] = {}
        self._settings: tuple[int, dict[str, Hyperparameters]] | None = None
        self._learned: FittedSurrogate | None = None
        self.board: LogScoreWeights = LogScoreWeights()
        self._sign = float(problem.signs[problem.names.index(problem.quality)])

    def fit(self, state: StudyState) -> FittedSurrogate | None:
        """What is known now, or None with too few trials."""
        for number in state.ended_numbers[self._heard :]:
            record = state.records[number]
            if record.state == "COMPLETE" and self._row(record) is not None:
                self._usable.append(record)
                self._prefixes.hear(record, len(self._usable))
                self._check_prior(record)
        self._heard = len(state.ended_numbers)
        if len(self._usable) < self._least:
            return None
        if self._learned is None or self._learned.trials != len(self._usable):
            with one_thread():
                self._score()
                self._learned = self._fit()
        return self._learned

    def validation(self, state: StudyState) -> Quality | None:
        """How well the experts foretold, in the words of a report; None with too few trials."""
        from autoreg.engine.surrogate import validation

        learned = self.fit(state)
        return None if learned is None else validation.validate(self.board, learned)

    def foretell(self, learned: FittedSurrogate, encoded: Floats, costs: Mapping[str, float]) -> dict[str, list[float]]:
        """Mean and deviation of the score by every expert and null model for one config, to be recorded with it."""
        ensemble = learned.ensembles[self._problem.quality]
        logs = learned.logs([costs])
        return {
            n: [round(float(m[0]), 6), round(float(s[0]), 6)]
            for n, (m, s) in ensemble.predict(encoded[None, :], logs, nulls=True).items()
        }

    def knows(self, record: Record) -> bool:
        """Whether the experts can see a trial: its config belongs to the space."""
        return self._row(record) is not None

    def group(self, record: Record) -> str:
        """Label of what a trial shares its luck with."""
        if record.number not in self._groups:
            self._groups[record.number] = self._group(record.config)
        return self._groups[record.number]

    def scored(self, learned: FittedSurrogate, records: Sequence[Record]) -> tuple[Kernel, Floats, Floats, float]:
        """Complete trials as the Gaussian process sees them: kernel, columns [n, p], scores [n], variance of noise."""
        ensemble = learned.ensembles[self._problem.quality]
        columns = ensemble.hyperparameters.features(
            np.hstack([self._table(records), learned.logs([r.costs for r in records])])
        )
        scores = ensemble.hyperparameters.warp.forward(self._values(self._problem.quality, records))
        return ensemble.hyperparameters.kernel, columns, scores, ensemble.noise

    def _cost_names(self) -> tuple[str, ...]:
        first = self._usable[: self._least]
        names = self._problem.names
        return tuple(n for n in names if n != self._problem.quality and all(n in r.costs for r in first))

    def _logs(self, records: Sequence[Record]) -> Floats:
        return logs_of(self._cost_names(), [r.costs for r in records])

    def _check_prior(self, record: Record) -> None:
        """Let the prior hear of a trial. If that ends it, its column is gone and all is learned anew."""
        prior = self._problem.prior
        if prior is None or not prior.active:
            return
        prior.update(record.config, self._sign * record.metrics[self._problem.quality])
        if not prior.active:
            self._rows, self._matrix, self._logged = {}, np.zeros((0, 0)), np.zeros((0, 0))
            self._settings, self._learned, self._scored = None, None, 0
            self._prefixes.forget_rows()
            self.board = type(self.board)()

    def _count(self, available: int) -> int:
        count = self._least
        while (step := max(self._every, count // 8)) <= available - count:
            count += step
        return count

    def _row(self, record: Record) -> Floats | None:
        if record.number not in self._rows:
            self._rows[record.number] = self._problem.encoded(record.config)
        return self._rows[record.number]

    def _table(self, records: Sequence[Record]) -> Floats:
        return np.array([self._row(r) for r in records])

    def _grown(self, records: Sequence[Record]) -> tuple[Floats, Floats]:
        """Encoded configs and log costs of all usable trials; only those of new ones are looked up."""
        fresh = records[len(self._matrix) :]
        if len(self._matrix) and fresh:
            self._matrix = np.vstack([self._matrix, self._table(fresh)])
            self._logged = np.vstack([self._logged, self._logs(fresh)])
        elif fresh:
            self._matrix, self._logged = self._table(fresh), self._logs(fresh)
        return self._matrix, self._logged

    def _with_prefixes(
        self, encoded: Floats, quality: Floats, logs: Floats, count: int
    ) -> tuple[Floats, Floats, Floats]:
        """The first `count` trials and the prefixes that they told of, each before the trial that told of it."""
        free = self._prefixes.known(count)
        if not free:
            return encoded, quality, logs
        order = np.argsort([*(f.after - 1.5 for f, _ in free), *range(count)], kind="stable")
        rows = np.vstack([*(row for _, row in free), encoded])
        values = np.concatenate([[self._sign * f.value for f, _ in free], quality])
        costs = np.vstack([logs_of(self._cost_names(), [f.costs for f, _ in free]), logs])
        return rows[order], values[order], costs[order]

    def _values(self, name: str, records: Sequence[Record]) -> Floats:
        sign = float(self._problem.signs[self._problem.names.index(name)])
        return np.asarray(sign * np.array([r.metrics[name] for r in records], dtype=float))

    def _warp(self, count: int) -> HalfRank:
        from autoreg.engine.surrogate.output_warping import HalfRank

        if count not in self._warps:
            self._warps[count] = HalfRank(self._values(self._problem.quality, self._usable[:count]))
        return self._warps[count]

    def _score(self) -> None:
        """Hear how trials ended that were foretold; the first few are foretold from the half that came before."""
        if self._scored == 0:
            self._replay()
            self._scored = self._least
        for record in self._usable[self._scored :]:
            prediction = record.prediction
            if prediction is not None and 0 < prediction.warp_trials <= len(self._usable):
                came = [self._sign * record.metrics[self._problem.quality]]
                self._hear(record, prediction.scores, float(self._warp(prediction.warp_trials).forward(came)[0]))
        self._scored = len(self._usable)

    def _replay(self) -> None:
        from autoreg.engine.surrogate.ensemble import Ensemble, fit_hyperparameters

        half = max(self._least // 2 + 1, 4)
        first, rest = self._usable[:half], self._usable[half : self._least]
        quality = self._values(self._problem.quality, first)
        hyperparameters = fit_hyperparameters(self._table(first), quality, self._logs(first), self._seed)
        ensemble = Ensemble(hyperparameters, self._table(first), quality, self._logs(first))
        foretold = ensemble.predict(self._table(rest), self._logs(rest), nulls=True)
        scores = hyperparameters.warp.forward(self._values(self._problem.quality, rest))
        for k, record in enumerate(rest):
            self._hear(record, {n: [float(m[k]), float(s[k])] for n, (m, s) in foretold.items()}, float(scores[k]))

    def _hear(self, record: Record, foretold: Mapping[str, Sequence[float]], score: float) -> None:
        cost = float(self._logs([record]).mean()) if self._cost_names() else 0.0
        self.board.add(foretold, score, self.group(record), cost)

    def _fit(self) -> FittedSurrogate:
        from autoreg.engine.surrogate.ensemble import Ensemble, fit_hyperparameters

        problem, records = self._problem, self._usable
        count = self._count(len(records))
        known = self._cost_names()
        unknown = [n for n in problem.names if n not in known]
        encoded, logs = self._grown(records)
        told = {n: (encoded, self._values(n, records), logs) for n in unknown}
        if self._settings is None or self._settings[0] != count:
            first = {n: (e[:count], v[:count], c[:count]) for n, (e, v, c) in told.items()}
            first[problem.quality] = self._with_prefixes(*first[problem.quality], count)
            warps = {problem.quality: self._warp(count)}
            self._settings = count, {n: fit_hyperparameters(*t, self._seed, warps.get(n)) for n, t in first.items()}
        told[problem.quality] = self._with_prefixes(*told[problem.quality], len(records))
        ensembles = {n: Ensemble(self._settings[1][n], *t) for n, t in told.items()}
        lead, error, rival = self.board.lead()
        trusted, reason = trust(lead, error, rival, len(self.board.own))
        weights = self.board.weights(ensembles[problem.quality].names)
        return FittedSurrogate(
            count, len(records), ensembles, known, weights, lead, error, len(self.board.own), trusted, reason
        )


def trust(lead: float, error: float, rival: str, scored: int) -> tuple[bool, str]:
    """Whether experts with such a lead are listened to, and why: they are, unless they are seen to be worse.

    Waiting for a lead that is beyond doubt cost more than it saved on HPOLib (`benchmarks/results/README.md`).
    """
    if scored < TRUST_MIN_SCORED:
        return True, f"listened to until {TRUST_MIN_SCORED} trials were foretold; {scored} were"
    against = "cost alone" if rival == "null" else "the mean alone"
    said = f"log-score {lead:+.2f} a trial against {against}, over {scored} trials foretold before they were told"
    return (
        (False, f"{said}: worse beyond doubt")
        if lead < -max(DISTRUST_MARGIN, DISTRUST_STANDARD_ERRORS * error)
        else (True, said)
    )


def predict(
    problem: Problem,
    learner: SurrogateFitter,
    learned: FittedSurrogate,
    config: dict[str, Any],
    costs: Mapping[str, float],
) -> Prediction | None:
    """What is foretold of one config, to be recorded with it: median, 80 % bounds, and every expert's word."""
    from autoreg.engine.surrogate.ensemble import mixture_moments

    encoded = problem.encoded(config)
    if encoded is None:
        return None
    sign = float(problem.signs[problem.names.index(problem.quality)])
    experts = learner.foretell(learned, encoded, costs)
    given = {n: (np.array([m]), np.array([s])) for n, (m, s) in experts.items() if n in learned.weights}
    mean, spread = mixture_moments(given, learned.weights)
    warp = learned.ensembles[problem.quality].hyperparameters.warp
    low, middle, high = (sign * warp.inverse(mean + z * spread)[0] for z in (-1.2816, 0.0, 1.2816))
    return Prediction(
        {problem.quality: float(middle)},
        float(min(low, high)),
        float(max(low, high)),
        learned.trials,
        learned.trusted,
        learned.count,
        {name: (mean, spread) for name, (mean, spread) in experts.items()},
    )
