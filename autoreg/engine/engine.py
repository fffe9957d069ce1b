"""The engine: asks for recipes, hears reports and results, and forgets nothing.

All that it knows is a fold over an append-only log, and what it does next follows from that and
a seed alone. So a study that was killed and resumed goes on exactly as if it never had been; with one
worker, without a limit in minutes, and with costs that do not change when they are asked again.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from autoreg.engine import summary
from autoreg.engine.acquisition.proposer import Proposal, Proposer
from autoreg.engine.acquisition.shared_cost import PhaseCostFunction
from autoreg.engine.explain import explain
from autoreg.engine.log.events import EventLog, finite
from autoreg.engine.log.records import Record, StudyState
from autoreg.engine.log.trial import Ask, Result, TrialState, as_numbers
from autoreg.engine.pareto.front import Normalizer
from autoreg.engine.problem import CostFunction, Problem
from autoreg.engine.pruning.halving import Decision, Halving
from autoreg.engine.pruning.rung_decision import decide_at
from autoreg.engine.samplers.base import make_sampler
from autoreg.engine.surrogate.auxiliary_points import Uncompressed
from autoreg.engine.surrogate.fitting import SurrogateFitter
from autoreg.engine.surrogate.noise_model import PosteriorEstimator
from autoreg.engine.transfer import initial_design
from autoreg.errors import InputError, StudyError
from autoreg.space.budget import Budget
from autoreg.trial_info import TrialInfo

if TYPE_CHECKING:
    from autoreg.engine.transfer.prior import Prior
    from autoreg.space import Expression, Space

__all__ = ["SCALE_AFTER", "Budget", "Engine"]

SCALE_AFTER = 10
"""Complete trials after which the scale of hypervolume is fixed, where none was given."""


class Engine:
    """Ask, report, tell, over a log that is the truth.

    Args:
        space: Where recipes come from.
        objectives: Direction of each, "min" or "max".
        quality: The objective that is learned.
        costs: Known costs of a config, cheap; exact, or an `Interval` where a cost is known with an error. None where
            nothing is known before running.
        constraints: Comparisons of metrics that must hold, beside those of the space.
        reference_metrics: Metrics of the dense recipe under dotted names (`dense.flops`).
        normalizer: Scale of hypervolume. Without one it is fixed by the first complete trials.
        budget: When to stop asking.
        seed: Seed of the study. Every trial gets it too, so that trials share their common phases.
        sampler: "auto", "tpe", "nsga2", "random", "grid" or "evolution". "auto" passes over what could not extend the
            front at its known cost; it is TPE for the first trials, and from eight complete ones on experts choose.
        starters: (source, config) pairs that are asked first, whatever the constraints say: baselines. They are
            never stopped early.
        identity: Key under which configs count as the same; the digest of the config by default.
        prune: Whether trials are stopped early; a `Halving` says how.
        screen: Whether a trusted predictor chooses among candidates; None: with sampler "auto".
        known_cost_filter: Whether candidates are passed over that could not extend the front; None: with "auto".
        log: Where events go; in memory by default. A log that has events is gone on from.
        clock: Seconds, for the budget in minutes and the times of events.
        warm_start: Configs from earlier studies, asked after the starters where space and constraints hold them.
        group: Label of configs that share luck, such as their training; held out together when the predictor is judged.
        price: The bill of a config: key and epochs of each of its phases, in order; trials with a key in common share
            all up to that phase. Screening then seeks improvement per epoch still to be paid, see
            `autoreg.engine.acquisition.shared_cost`. None: all cost alike.
        replicate: Whether a recipe may be run again with another seed, see `autoreg.engine.acquisition.reevaluation`:
            once there are experts. None: with sampler "auto". Off for a table that has one value for each recipe.
        prior: What earlier studies say of configs, see `autoreg.engine.transfer.prior`: the best by it are asked after
            `warm_start`, and the experts see it until new trials contradict it.
        uncompressed: The uncompressed prefix of a config. Trials whose info has its `uncompressed_quality` tell the
            experts of it too, see `autoreg.engine.surrogate.auxiliary_points`.

    Raises:
        InputError: If an argument is wrong.
        StudyError: If the log belongs to another study.
    """

    def __init__(
        self,
        space: Space,
        objectives: Mapping[str, str],
        *,
        quality: str,
        costs: CostFunction | None = None,
        constraints: Sequence[Expression] = (),
        reference_metrics: Mapping[str, float] | None = None,
        normalizer: Normalizer | None = None,
        budget: Budget | None = None,
        seed: int = 0,
        sampler: str = "auto",
        starters: Sequence[tuple[str, dict[str, Any]]] = (),
        identity: Callable[[dict[str, Any]], str] | None = None,
        prune: bool | Halving = True,
        screen: bool | None = None,
        known_cost_filter: bool | None = None,
        log: EventLog | None = None,
        clock: Callable[[], float] = time.monotonic,
        warm_start: Sequence[dict[str, Any]] = (),
        group: Callable[[dict[str, Any]], str] | None = None,
        price: PhaseCostFunction | None = None,
        replicate: bool | None = None,
        prior: Prior | None = None,
        uncompressed: Uncompressed | None = None,
    ) -> None:
        if normalizer is not None and normalizer.names != tuple(objectives):
            raise InputError(
                f"the normalizer scales {', '.join(normalizer.names)}; the objectives are {', '.join(objectives)}"
            )
        rules = tuple({c.text: c for c in (*space.constraints, *constraints)}.values())
        self.problem = Problem(
            space, dict(objectives), quality, identity or _digest(), costs, rules, dict(reference_metrics or {}), prior
        )
        self.budget = budget or Budget()
        self.seed = int(seed)
        self.log = log if log is not None else EventLog()
        self.stop_reason: str | None = None
        self._halving = prune if isinstance(prune, Halving) else Halving() if prune else None
        self._starters = list(starters)
        self._warm = list(warm_start)
        self._sought: list[dict[str, Any]] | None = None
        self._baselines = {source for source, _ in starters}
        drawer = make_sampler(sampler, space, len(objectives), self.problem.excess)
        auto = sampler == "auto"
        again = auto if replicate is None else replicate
        self._learner = SurrogateFitter(self.problem, seed=self.seed, group=group, uncompressed=uncompressed)
        self._believer = PosteriorEstimator(self.problem, self._learner)
        self._proposer = Proposer(
            self.problem,
            drawer,
            self.seed,
            known_cost_filter=auto if known_cost_filter is None else known_cost_filter,
            learner=self._learner if (auto if screen is None else screen) else None,
            price=price,
            counted=self.budget.minutes is None and self.budget.epochs is None,
            believer=self._believer if auto else None,
            replicate=again,
        )
        self.explain = explain(sampler, drawer.explain, self._halving, again)
        self._clock, self._began = clock, clock()
        self.state = StudyState(self.log.events)
        self._open(sampler, normalizer)
        self._before = self.state.seconds

    # -- the loop -------------------------------------------------------------------------------

    def ask(self) -> Ask | None:
        """Return the next recipe, or None when there is none; `stop_reason` then says why.

        Recipes that were interrupted come first, then the starters, then proposals.

        Raises:
            InputError: At the first ask, if no recipe of the space is found that meets the constraints, nor a starter.
        """
        self.stop_reason = self.budget.spent(self.seconds(), self._epochs())
        if self.stop_reason is not None:
            return None
        if self.state.again:
            record = self.state.records[self.state.again[0]]
            self._note({"event": "again", "trial": record.number})
            return _asked(record, again=True)
        number = len(self.state.records)
        self.stop_reason = self.budget.asked_all(number)
        if self.stop_reason is not None:
            return None
        if number == 0:
            self._proposer.require_possible([*(config for _, config in self._starters), *self._warm])
        proposal = self._starter() or self._proposer.propose(self.state, number)
        if proposal is None:
            self.stop_reason = "no recipe is left that is new and within the constraints"
            return None
        event: dict[str, Any] = {
            "event": "ask",
            "trial": number,
            "config": proposal.config,
            "source": proposal.source,
            "seed": self.seed if proposal.seed is None else proposal.seed,
            "costs": proposal.costs,
            "prediction": None if proposal.prediction is None else proposal.prediction.to_dict(),
        }
        if proposal.intervals:
            event["intervals"] = {n: list(i) for n, i in proposal.intervals.items()}
        if proposal.reevaluation_of is not None:
            event["reevaluation_of"] = proposal.reevaluation_of
        self._note(event)
        return _asked(self.state.records[number])

    def report(self, number: int, step: int, metrics: Mapping[str, float]) -> Literal["continue", "stop"]:
        """Take the metrics of a running trial after `step` units of work, and say whether it goes on.

        A report that was heard before gets the same answer.

        Raises:
            InputError: If there is no such trial, or it has ended.
        """
        record = self._running(number)
        known = record.at(step)
        if known is not None:
            return "stop" if known.decision == "stop" else "continue"
        numbers = {k: v for k, v in as_numbers(metrics, f"trial {number}, step {step}").items() if math.isfinite(v)}
        decision = self._decide(record, step, numbers)
        event: dict[str, Any] = {"event": "report", "trial": number, "step": int(step)}
        event |= {"metrics": as_numbers(metrics, ""), "decision": "stop" if decision.stop else "continue"}
        if decision.reason:
            event["reason"] = decision.reason
        if decision.audit:
            event["audit"] = True
        self._note(event)
        return "stop" if decision.stop else "continue"

    def tell(self, number: int, result: Result) -> TrialState:
        """Take the result of a trial; return the state it was recorded with.

        A COMPLETE result without a finite value for every objective is recorded as FAIL; known
        costs fill in objectives that the trial did not measure.

        Raises:
            InputError: If there is no such trial, or it has ended.
        """
        record = self._running(number)
        state, reason = result.state, result.reason
        metrics: dict[str, float] = {}
        try:
            metrics = as_numbers(result.metrics, f"trial {number}")
        except InputError as error:
            state, reason = "FAIL", str(error)
        middles = {n: i[1] for n, i in record.intervals.items()}
        metrics = {**record.costs, **middles, **metrics}
        if state == "COMPLETE":
            wrong = self._incomplete(metrics)
            state, reason = ("FAIL", wrong) if wrong else (state, reason)
        if state == "FAIL" and not reason:
            reason = "failed without a reason"
        kept = {k: v for k, v in metrics.items() if math.isfinite(v)}
        broken = self.problem.violated(kept) if state == "COMPLETE" else {}
        event: dict[str, Any] = {"event": "tell", "trial": number, "state": state, "metrics": metrics}
        event |= {"info": _jsonable(result.info), "reason": reason}
        if state == "COMPLETE":
            event |= {"feasible": not broken, "violation": sum(broken.values()), "broken": sorted(broken)}
        self._note(event)
        self._fix_scale()
        return state

    # -- what it knows --------------------------------------------------------------------------

    def trials(self) -> list[dict[str, Any]]:
        """All trials as plain rows, in the order of their numbers."""
        return [r.row() for r in self.state.records]

    def front(self) -> list[int]:
        """Numbers of the trials that no other dominates, complete and within the constraints, ascending.

        By what was observed, of each recipe in its first run: all with the study's seed, and its luck. What is
        believed of them with other seeds is `incumbents` and `probabilities`.
        """
        return summary.members(self.problem, self.state)

    def incumbents(self) -> dict[int, float]:
        """The front of what is believed: believed quality by the number of a recipe's first trial, ascending.

        Belief is the posterior mean over seeds, see `autoreg.engine.surrogate.noise_model`; what was observed
        (with several runs their mean) while the experts are not trusted.
        """
        return summary.incumbents(self.problem, self.state, self._believer.qualities(self.state))

    def probabilities(self) -> dict[int, float]:
        """Probability of each trial on the front to be there with other seeds too, and of those near it.

        By drawing the qualities of all recipes near the front from their posterior, at their known costs. Empty with
        too few trials.
        """
        return summary.probabilities(self.problem, self.state, self._believer.at(self.state), self.seed)

    def hypervolume(self) -> float | None:
        """Hypervolume of the front in the unit cube; None until the scale is fixed."""
        return summary.hypervolume(self.problem, self.state)

    def history(self) -> list[float]:
        """Hypervolume after each trial that ended, in that order; empty until the scale is fixed."""
        return summary.history(self.problem, self.state)

    def predictor(self) -> dict[str, Any]:
        """How well the predictor foretells, whether screening listens to it, and what became of a warm start."""
        quality, prior = self._learner.validation(self.state), self.problem.prior
        few = {"trials": len(self.state.complete()), "trusted": False, "reason": "too few complete trials"}
        found = few if quality is None else quality.to_dict()
        return found if prior is None else {**found, "prior": prior.to_dict()}

    def audit(self) -> dict[str, int]:
        """Stops that were not carried out: how many, how many of them are complete, how many on the front."""
        return summary.audit(self.problem, self.state)

    def wrong_stops(self) -> dict[str, float]:
        """What audits tell of all stops: `stopped`, the share `wrong`, and `most`, its upper 90 % limit."""
        return summary.wrong_stops(self.problem, self.state)

    def summary(self) -> dict[str, Any]:
        """Figures for a progress line; `time_left` is in seconds, None where nobody can know."""
        return {
            **summary.counts(self.state),
            "trials": self.budget.trials,
            "front": len(self.front()),
            "hypervolume": self.hypervolume(),
            "epochs": self._epochs(),
            "seconds": self.seconds(),
            "time_left": self.budget.time_left(self.seconds(), len(self.state.ended_numbers)),
            "stop_reason": self.stop_reason,
        }

    def seconds(self) -> float:
        """Seconds since the study began, pauses between resumptions left out."""
        return self._before + (self._clock() - self._began)

    # -- inside ---------------------------------------------------------------------------------

    def _open(self, sampler: str, normalizer: Normalizer | None) -> None:
        self._before = self.state.seconds
        problem = self.problem
        about = {
            "digest": problem.space.digest,
            "objectives": dict(problem.objectives),
            "quality": problem.quality,
            "seed": self.seed,
            "sampler": sampler,
            "constraints": sorted(c.text for c in problem.constraints),
        }
        if self.state.start is None:
            if self.state.records:
                raise StudyError(f"{self.log.path}: the log does not begin with a start event")
            scale = None if normalizer is None else normalizer.to_dict()
            self._note(
                {"event": "start", "version": 1, **about, "normalizer": scale, "reference": dict(problem.reference)}
            )
            return
        for name, value in about.items():
            if self.state.start.get(name) != value:
                raise StudyError(
                    f"{self.log.path or 'the log'}: this study was begun with {name} = {self.state.start.get(name)!r}, "
                    f"now it is {value!r}. Resume it as it was begun, or begin another study."
                )
        self._note({"event": "resume"})
        self._fix_scale()  # the last tell may have been cut off from it

    def _epochs(self) -> float:
        return sum(r.epochs_run for r in self.state.records)

    def _note(self, event: dict[str, Any]) -> None:
        event["at"] = round(self.seconds(), 3)
        self.state.apply(self.log.append(event))

    def _running(self, number: int) -> Record:
        if not 0 <= number < len(self.state.records):
            raise InputError(f"there is no trial {number}; {len(self.state.records)} were asked")
        record = self.state.records[number]
        if record.state != "RUNNING":
            raise InputError(f"trial {number} has ended as {record.state}; it cannot be heard again")
        return record

    def _starter(self) -> Proposal | None:
        taken = self._proposer.taken(self.state)
        for source, config in self._starters:
            key = self.problem.identity(config)
            if key not in taken:
                return self._proposer.starter(config, source, key)
        for config in self._warm_configs():
            found = self._proposer.check(config, "warm", taken) if self.problem.contains(config) else None
            if found is not None:
                return found
        return None

    def _warm_configs(self) -> list[dict[str, Any]]:
        """Configs to ask after the starters; those of the prior are sought while some may still be missing."""
        prior, few = self.problem.prior, len(self._starters) + len(self._warm) + initial_design.DESIGN_SIZE
        if prior is None or len(self.state.records) >= few:
            return self._warm
        if self._sought is None:
            self._sought = initial_design.propose(prior, self.problem, self.seed)
        return [*self._warm, *self._sought]

    def _decide(self, record: Record, step: int, metrics: Mapping[str, float]) -> Decision:
        if self._halving is None or record.source in self._baselines or record.reevaluation_of is not None:
            return Decision(False)
        shared: dict[str, Any] = {"group": self._learner.group, "ledger": self._proposer.ledger}
        return decide_at(self._halving, self.problem, self.state, record, step, metrics, self.seed, **shared)

    def _incomplete(self, metrics: Mapping[str, float]) -> str | None:
        for name in self.problem.names:
            if name not in metrics:
                return (
                    f"objective {name!r} is missing from the result; it has: {', '.join(sorted(metrics)) or 'nothing'}"
                )
            if not math.isfinite(metrics[name]):
                return f"objective {name!r} is {metrics[name]}, which is no finite number"
        return None

    def _fix_scale(self) -> None:
        if self.state.normalizer is not None:
            return
        complete = self.state.complete()[:SCALE_AFTER]
        if len(complete) == SCALE_AFTER:
            logs = [n for n in self.problem.names if n != self.problem.quality and all(n in r.costs for r in complete)]
            scale = Normalizer.from_values(self.problem.objectives, self.problem.table(complete), logs)
            self._note({"event": "scale", "normalizer": scale.to_dict()})


def _asked(record: Record, *, again: bool = False) -> Ask:
    return Ask(record.number, record.config, record.seed, record.source, record.costs, again, record.reevaluation_of)


def _digest() -> Callable[[dict[str, Any]], str]:
    from autoreg.space import digest

    return digest


def _jsonable(info: TrialInfo) -> dict[str, Any]:
    try:
        plain: dict[str, Any] = finite(info.to_dict())
        return plain
    except TypeError as error:
        return TrialInfo(notes=[f"the info of this trial could not be kept: {error}"]).to_dict()
