"""What a study asks for: objectives, known costs and constraints, as one value that the engine's parts share."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from autoreg.engine.constraints import violations
from autoreg.engine.log.records import Record, StudyState
from autoreg.engine.pareto.front import Floats
from autoreg.errors import AutoregError, InputError
from autoreg.space import digest
from autoreg.space.nearest import nearest
from autoreg.trial_info import QUANTILE_95

if TYPE_CHECKING:
    from autoreg.space import Expression, Space


class Interval(NamedTuple):
    """A cost that is known with an error, such as a latency from a table: its optimistic end, middle and other end.

    The optimistic end decides whether a candidate is passed over, the middle what may be expected of
    it; and while it has not been measured, a trial dominates others with its other end alone.
    """

    low: float
    middle: float
    high: float

    def quantile(self, score: float) -> float:
        """The cost at a normal score, 0 for the middle; the ends are taken for 5 % quantiles on a log scale."""
        end = self.high if score > 0 else self.low
        return self.middle * math.exp(math.log(end / self.middle) * abs(score) / QUANTILE_95)


CostFunction = Callable[[dict[str, Any]], Mapping[str, float | Interval] | None]


class QualityPrior(Protocol):
    """What earlier studies say of configs; `autoreg.engine.transfer.prior` has the one that there is."""

    @property
    def informative(self) -> bool:
        """Whether some earlier study has anything to say; it does not change."""

    @property
    def active(self) -> bool:
        """Whether it is informative and the trials of this study do not contradict it so far."""

    def scores(self, configs: Sequence[dict[str, Any]]) -> Floats:
        """Mean normal score of each config's rank over the earlier studies [n]; small is good."""

    def column(self, encoded: Floats) -> Floats:
        """What encoded configs [n, p] gain: one column [n, 1] while active, none [n, 0] otherwise."""

    def update(self, count: int, config: dict[str, Any], quality: float) -> None:
        """Take in the `count`-th complete trial of this study, its quality to be minimized."""

    def best_configs(self, rng: np.random.Generator) -> list[dict[str, Any]]:
        """The best trials of the earlier studies, as configs of this one's space."""

    def to_dict(self) -> dict[str, Any]:
        """What became of it, as plain data for a report."""


@dataclass(frozen=True)
class Problem:
    """The fixed part of a study.

    Args:
        space: Where recipes come from.
        objectives: Direction of each, "min" or "max".
        quality: The objective that is learned.
        identity: Key under which configs count as the same (and have the same costs); by default their digest.
        costs: Known costs of a config, cheap; exact, or an `Interval` where a cost is known with an error. None where
            nothing is known before running.
        constraints: Comparisons of metrics that must hold; those of the space are added.
        reference: Metrics of the dense recipe under dotted names (`dense.flops`).
        prior: What earlier studies say of configs: the best by it are asked after the starters, and it is the last
            column of encoded configs until new trials contradict it. None: there were no earlier studies.
        base: A config of the space, for what lies outside of it: a baseline is learned from as the config that takes
            all of it that the space has, and the rest from here. None: what lies outside is not learned from.
        learned_costs: Of the costs that are known with an error, those whose error is learned from completed trials,
            see `autoreg.engine.surrogate.cost_correction`.

    Raises:
        InputError: If there are no objectives, or the quality or a direction is none that is allowed.
    """

    space: Space
    objectives: Mapping[str, str]
    quality: str
    identity: Callable[[dict[str, Any]], str] = digest
    costs: CostFunction | None = None
    constraints: tuple[Expression, ...] = ()
    reference: Mapping[str, float] = field(default_factory=dict)
    prior: QualityPrior | None = None
    learned_costs: tuple[str, ...] = ()
    base: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        if not self.objectives:
            raise InputError("a study needs at least one objective, such as {'error': 'min'}")
        for name, direction in self.objectives.items():
            if direction not in ("min", "max"):
                raise InputError(f"objective {name!r}: direction {direction!r} is not allowed; allowed: min, max")
        if self.quality not in self.objectives:
            raise InputError(f"quality {self.quality!r} is not among the objectives: {', '.join(self.objectives)}")
        rules = {c.text: c for c in (*self.space.constraints, *self.constraints)}  # each once
        object.__setattr__(self, "constraints", tuple(rules.values()))

    @property
    def names(self) -> tuple[str, ...]:
        """The objectives, in the order of the columns."""
        return tuple(self.objectives)

    @property
    def signs(self) -> Floats:
        """1 for an objective to minimize and -1 for one to maximize [m]."""
        return np.array([1.0 if d == "min" else -1.0 for d in self.objectives.values()])

    def known_costs(self, config: dict[str, Any]) -> dict[str, float]:
        """Costs of a config that are known before it runs; the optimistic end of those known with an error.

        Raises:
            InputError: If the cost function fails, or gives something that is no finite number.
        """
        return self.known_costs_and_intervals(config)[0]

    def known_costs_and_intervals(self, config: dict[str, Any]) -> tuple[dict[str, float], dict[str, Interval]]:
        """Costs as by `known_costs`, and the intervals of those known with an error.

        Raises:
            InputError: If the cost function fails, or gives something that is no finite number.
        """
        if self.costs is None:
            return {}, {}
        try:
            found = dict(self.costs(config) or {})
        except AutoregError:
            raise
        except Exception as error:
            raise InputError(f"the cost function failed: {type(error).__name__}: {error}") from error
        exact: dict[str, float] = {}
        intervals: dict[str, Interval] = {}
        for name, value in found.items():
            for part in value if isinstance(value, Interval) else (value,):
                if isinstance(part, bool) or not isinstance(part, int | float | np.number) or not math.isfinite(part):
                    raise InputError(f"the cost function gave {name} = {value!r}; a known cost is a finite number")
            if isinstance(value, Interval):
                intervals[str(name)] = Interval(*(float(v) for v in value))
            exact[str(name)] = float(value.low if isinstance(value, Interval) else value)
        return exact, intervals

    def violated(self, metrics: Mapping[str, float]) -> dict[str, float]:
        """The constraints that `metrics` break, and by how much."""
        found = violations(self.constraints, metrics, self.reference)
        return {text: amount for text, amount in found.items() if amount > 0}

    def excess(self, config: dict[str, Any]) -> float:
        """By how much a config breaks the constraints at its known costs: 0 where they hold, infinite without costs."""
        try:
            return sum(self.violated(self.known_costs(config)).values())
        except AutoregError:
            return math.inf

    def values(self, metrics: Mapping[str, float]) -> tuple[float, ...] | None:
        """Objectives of a trial in order, or None if one is missing."""
        if any(n not in metrics for n in self.names):
            return None
        return tuple(float(metrics[n]) for n in self.names)

    def front_candidates(self, state: StudyState) -> list[Record]:
        """Trials that may be on the front: complete, within the constraints, and no run of a recipe but its first."""
        return [r for r in state.ended() if self.is_front_candidate(r)]

    def is_front_candidate(self, record: Record) -> bool:
        """Whether a trial may be on the front."""
        return record.state == "COMPLETE" and record.feasible is not False and record.reevaluation_of is None

    def table(self, records: Sequence[Record]) -> Floats:
        """Objectives of complete trials [n, m], in their own units."""
        return np.array([[r.metrics[n] for n in self.names] for r in records], dtype=float).reshape(-1, len(self.names))

    def pessimistic_table(self, records: Sequence[Record]) -> Floats:
        """As `table`, with the far end of a cost that is known with an error and was not measured."""
        rows = self.table(records)
        for k, record in enumerate(records):
            for name, (_, middle, high) in record.intervals.items():
                if name in self.names and name != self.quality and record.metrics[name] == middle:
                    rows[k, self.names.index(name)] = high
        return rows

    def scaled(self, values: Floats, state: StudyState) -> Floats:
        """Objectives to be minimized: in the unit cube once the scale is fixed, in their own units before."""
        rows = np.asarray(values, dtype=float).reshape(-1, len(self.names))
        return state.normalizer.transform(rows) if state.normalizer is not None else rows * self.signs

    def contains(self, config: dict[str, Any]) -> bool:
        """Whether a config belongs to the space."""
        try:
            return config in self.space
        except (KeyError, ValueError, TypeError):
            return False

    def inside(self, config: dict[str, Any]) -> dict[str, Any] | None:
        """A config as it is, or the nearest one of the space; None where there is none, or the problem has no base."""
        if self.contains(config):
            return config
        return None if self.base is None else nearest(self.space, config, self.base)

    def flat(self, config: dict[str, Any]) -> dict[str, Any]:
        """Active parameters of a config by path, of the nearest one if it lies outside; empty where there is none."""
        inside = self.inside(config)
        return {} if inside is None else dict(self.space.flatten(inside))

    def encoded(self, config: dict[str, Any]) -> Floats | None:
        """Encoded config [p], of the nearest one if it lies outside of the space; None where there is none."""
        inside = self.inside(config)
        return None if inside is None else self._encode([inside])[0]

    def encoded_many(self, configs: Sequence[dict[str, Any]]) -> list[Floats | None]:
        """Encoded configs, by columns where all belong to the space."""
        try:
            return list(self._encode(configs)) if configs else []
        except (InputError, KeyError, ValueError, TypeError):
            return [self.encoded(c) for c in configs]

    def _encode(self, configs: Sequence[Mapping[str, Any]]) -> Floats:
        encoded = np.asarray(self.space.encode_many(configs), dtype=float)
        return encoded if self.prior is None else np.hstack([encoded, self.prior.column(encoded)])
