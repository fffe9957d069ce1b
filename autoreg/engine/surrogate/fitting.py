"""Choosing among candidates before they are trained, by foretold quality at known cost."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from autoreg.engine.log.records import Record, StudyState
from autoreg.engine.pareto.attained_front import Frontier
from autoreg.engine.pareto.front import Floats
from autoreg.engine.problem import Problem
from autoreg.engine.surrogate.auxiliary_points import Prefixes, Uncompressed

if TYPE_CHECKING:
    from autoreg.engine.surrogate.ensemble import Panel, Scoreboard, Settings
    from autoreg.engine.surrogate.gp import Kernel
    from autoreg.engine.surrogate.output_warping import HalfRank
    from autoreg.engine.surrogate.validation import Quality

LEAST = 8
"""Fewest complete trials that the experts learn from."""
SCORED = 12
"""Fewest trials that must have been foretold before the experts can lose trust."""
MARGIN = 0.05
ERRORS = 2.0
"""How far they must be behind a null model for that: in log-score, nats a trial, and in standard errors of the lead."""


@dataclass(frozen=True)
class Learned:
    """What the experts know after `trials` complete trials, and how they are weighed.

    Attributes:
        count: Trials that the costly settings were learned from, and the warp with them.
        trials: Trials that the experts were fitted to.
        panels: Experts per objective that is not known in advance.
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
    panels: Mapping[str, Panel]
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


class Learner:
    """Keeps the experts up to date: warp, parameters and trees now and then, the rest with every trial.

    What is learned depends on recorded trials alone, so that a resumed study learns the same.

    Args:
        problem: The study.
        seed: Seed of the trees.
        least: Fewest complete trials to learn from.
        every: Complete trials between two times that costly settings are learned; grows to an eighth of the trials.
        group: Label of the trials that share luck (their trained prefix, say).
        uncompressed: The uncompressed prefix of a config, see `autoreg.engine.surrogate.auxiliary_points`.
    """

    def __init__(
        self,
        problem: Problem,
        seed: int = 0,
        least: int = LEAST,
        every: int = 3,
        group: Callable[[dict[str, Any]], str] | None = None,
        uncompressed: Uncompressed | None = None,
    ) -> None:
        from autoreg.engine.surrogate.ensemble import Scoreboard

        self._problem = problem
        self._seed = seed
        self._least = least
        self._every = every
        self._group = group or problem.identity
        self._prefixes = Prefixes(problem, uncompressed)
        self._rows: dict[int, Floats | None] = {}
        self._groups: dict[int, str] = {}
        self._usable: list[Record] = []
        self._matrix: Floats = np.zeros((0, 0))
        self._logged: Floats = np.zeros((0, 0))
        self._heard = 0
        self._scored = 0
        self._warps: dict[int, HalfRank] = {}
        self._settings: tuple[int, dict[str, Settings]] | None = None
        self._learned: Learned | None = None
        self.board: Scoreboard = Scoreboard()
        self._sign = float(problem.signs[problem.names.index(problem.quality)])

    def learned(self, state: StudyState) -> Learned | None:
        """What is known now, or None with too few trials."""
        for number in state.told[self._heard :]:
            record = state.records[number]
            if record.state == "COMPLETE" and self._row(record) is not None:
                self._usable.append(record)
                self._prefixes.hear(record, len(self._usable))
                self._check_prior(record)
        self._heard = len(state.told)
        if len(self._usable) < self._least:
            return None
        if self._learned is None or self._learned.trials != len(self._usable):
            with one_thread():
                self._score()
                self._learned = self._fit()
        return self._learned

    def quality(self, state: StudyState) -> Quality | None:
        """How well the experts foretold, in the words of a report; None with too few trials."""
        from autoreg.engine.surrogate import validation

        learned = self.learned(state)
        return None if learned is None else validation.foretold_quality(self.board, learned)

    def foretell(self, learned: Learned, encoded: Floats, costs: Mapping[str, float]) -> dict[str, list[float]]:
        """Mean and deviation of the score by every expert and null model for one config, to be recorded with it."""
        panel = learned.panels[self._problem.quality]
        logs = learned.logs([costs])
        return {
            n: [round(float(m[0]), 6), round(float(s[0]), 6)]
            for n, (m, s) in panel.predict(encoded[None, :], logs, nulls=True).items()
        }

    def knows(self, record: Record) -> bool:
        """Whether the experts can see a trial: its config belongs to the space."""
        return self._row(record) is not None

    def group(self, record: Record) -> str:
        """Label of what a trial shares its luck with."""
        if record.number not in self._groups:
            self._groups[record.number] = self._group(record.config)
        return self._groups[record.number]

    def scored(self, learned: Learned, records: Sequence[Record]) -> tuple[Kernel, Floats, Floats, float]:
        """Complete trials as the Gaussian process sees them: kernel, columns [n, p], scores [n], variance of noise."""
        panel = learned.panels[self._problem.quality]
        columns = panel.settings.features(np.hstack([self._table(records), learned.logs([r.costs for r in records])]))
        scores = panel.settings.warp.forward(self._values(self._problem.quality, records))
        return panel.settings.kernel, columns, scores, panel.noise

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
        prior.hear(record.config, self._sign * record.metrics[self._problem.quality])
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
            told = (record.predicted or {}).get("experts") or {}
            if int(told.get("warp", 0)) in range(1, len(self._usable) + 1):
                came = [self._sign * record.metrics[self._problem.quality]]
                self._hear(record, told["scores"], float(self._warp(int(told["warp"])).forward(came)[0]))
        self._scored = len(self._usable)

    def _replay(self) -> None:
        from autoreg.engine.surrogate.ensemble import Panel, settle

        half = max(self._least // 2 + 1, 4)
        first, rest = self._usable[:half], self._usable[half : self._least]
        quality = self._values(self._problem.quality, first)
        settings = settle(self._table(first), quality, self._logs(first), self._seed)
        panel = Panel(settings, self._table(first), quality, self._logs(first))
        foretold = panel.predict(self._table(rest), self._logs(rest), nulls=True)
        scores = settings.warp.forward(self._values(self._problem.quality, rest))
        for k, record in enumerate(rest):
            self._hear(record, {n: [float(m[k]), float(s[k])] for n, (m, s) in foretold.items()}, float(scores[k]))

    def _hear(self, record: Record, foretold: Mapping[str, Sequence[float]], score: float) -> None:
        cost = float(self._logs([record]).mean()) if self._cost_names() else 0.0
        self.board.add(foretold, score, self.group(record), cost)

    def _fit(self) -> Learned:
        from autoreg.engine.surrogate.ensemble import Panel, settle

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
            self._settings = count, {n: settle(*t, self._seed, warps.get(n)) for n, t in first.items()}
        told[problem.quality] = self._with_prefixes(*told[problem.quality], len(records))
        panels = {n: Panel(self._settings[1][n], *t) for n, t in told.items()}
        lead, error, rival = self.board.lead()
        trusted, reason = verdict(lead, error, rival, len(self.board.own))
        weights = self.board.weights(panels[problem.quality].names)
        return Learned(count, len(records), panels, known, weights, lead, error, len(self.board.own), trusted, reason)


@functools.cache
def _pools() -> Any:
    from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

    from autoreg.engine.surrogate import ensemble

    assert ensemble
    return ThreadpoolController()


def one_thread() -> Any:
    """A context in which linear algebra keeps to one thread: faster for its sizes, and the same bits each time."""
    return _pools().limit(limits=1, user_api="blas")


def verdict(lead: float, error: float, rival: str, scored: int) -> tuple[bool, str]:
    """Whether experts with such a lead are listened to, and why: they are, unless they are seen to be worse.

    Waiting for a lead that is beyond doubt cost more than it saved on HPOLib (`benchmarks/results/README.md`).
    """
    if scored < SCORED:
        return True, f"listened to until {SCORED} trials were foretold; {scored} were"
    against = "cost alone" if rival == "null" else "the mean alone"
    said = f"log-score {lead:+.2f} a trial against {against}, over {scored} trials foretold before they were told"
    return (False, f"{said}: worse beyond doubt") if lead < -max(MARGIN, ERRORS * error) else (True, said)


def log_gains(
    problem: Problem,
    state: StudyState,
    frontier: Frontier,
    learned: Learned,
    encoded: Floats,
    costs: Sequence[Mapping[str, float]],
    expected: Sequence[Mapping[str, float]] | None = None,
    *,
    cuts: Sequence[float] = (),
) -> Floats:
    """Logarithm of the expected hypervolume improvement of candidates at known cost, in parts as `Region.log_parts`.

    Hypervolume is taken where the quality is measured by its score, see `Frontier.warped`.

    Args:
        encoded: Candidates [n, p].
        costs: Their known costs, as the experts see them. Objectives that are neither known nor the quality count with
            their foretold mean.
        expected: Where they stand, if that differs: the middle of costs that are known with an error.
        cuts: Where the first cost is cut, in the unit cube.
    """
    places, mean, spread = _foretold(problem, state, learned, encoded, costs, expected or costs)
    region = frontier.warped(state, learned.panels[problem.quality].settings.warp)
    return region.log_parts(places, mean, spread, cuts=cuts)


def promise(
    problem: Problem,
    state: StudyState,
    frontier: Frontier,
    learned: Learned,
    encoded: Floats,
    costs: Mapping[str, float],
    expected: Mapping[str, float],
    *,
    luck: float = 0.0,
) -> float:
    """Logarithm of the expected improvement of one candidate in hypervolume itself; arguments as of `log_gains`.

    Args:
        luck: Variance of a score that another seed would change. What is improved is then what will be believed of the
            candidate after its trial, not what will be observed.
    """
    from autoreg.engine.surrogate.ensemble import spread_out

    assert state.normalizer is not None
    frontier.look(state)
    assert frontier.region is not None
    places, mean, spread = _foretold(problem, state, learned, encoded[None, :], [costs], [expected])
    spread = np.maximum(spread**2 - luck, 0.05 * spread**2) / spread if luck > 0 else spread
    means, spreads = spread_out(mean, spread, learned.panels[problem.quality].settings.warp)
    column = problem.names.index(problem.quality)
    axis, sign = state.normalizer.axes[column], float(problem.signs[column])
    unit = abs(axis.reference - axis.ideal)
    return float(frontier.region.log_gain(places, (means - sign * axis.ideal) / unit, spreads / unit)[0])


def _foretold(
    problem: Problem,
    state: StudyState,
    learned: Learned,
    encoded: Floats,
    costs: Sequence[Mapping[str, float]],
    expected: Sequence[Mapping[str, float]],
) -> tuple[Floats, Floats, Floats]:
    """Places [n, m - 1] of candidates in the unit cube without the quality; mean and deviation [n] of their scores."""
    from autoreg.engine.surrogate.ensemble import mixed

    assert state.normalizer is not None
    raw, logs = np.empty((len(costs), len(problem.names))), learned.logs(costs)
    for m, (name, sign, axis) in enumerate(zip(problem.names, problem.signs, state.normalizer.axes, strict=True)):
        guess = np.full(len(costs), axis.reference)
        if name in learned.panels and name != problem.quality:
            panel = learned.panels[name]
            guess = sign * panel.settings.warp.back(mixed(panel.predict(encoded, logs), learned.weights)[0])
        raw[:, m] = guess if name == problem.quality else [c.get(name, g) for c, g in zip(expected, guess, strict=True)]
    places = np.delete(state.normalizer.transform(raw), problem.names.index(problem.quality), axis=1)
    mean, spread = mixed(learned.panels[problem.quality].predict(encoded, logs), learned.weights)
    return places, mean, spread


def prediction(
    problem: Problem, learner: Learner, learned: Learned, config: dict[str, Any], costs: Mapping[str, float]
) -> dict[str, Any] | None:
    """What is foretold of one config, to be recorded with it: median, 80 % bounds, and every expert's word."""
    from autoreg.engine.surrogate.ensemble import mixed

    encoded = problem.encoded(config)
    if encoded is None:
        return None
    sign = float(problem.signs[problem.names.index(problem.quality)])
    experts = learner.foretell(learned, encoded, costs)
    given = {n: (np.array([m]), np.array([s])) for n, (m, s) in experts.items() if n in learned.weights}
    mean, spread = mixed(given, learned.weights)
    warp = learned.panels[problem.quality].settings.warp
    low, middle, high = (sign * warp.back(mean + z * spread)[0] for z in (-1.2816, 0.0, 1.2816))
    return {
        problem.quality: float(middle),
        "low": float(min(low, high)),
        "high": float(max(low, high)),
        "trials": learned.trials,
        "trusted": learned.trusted,
        "experts": {"warp": learned.count, "scores": experts},
    }
