"""The engine: asks for recipes, takes reports and results, and forgets nothing.

All that it knows is replayed from an append-only log, and what it does next follows from that and
a seed alone. So a study that was killed and resumed goes on exactly as if it never had been; with one
worker, without a limit in minutes, and with costs that do not change when they are asked again.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import Any, Literal

from autoreg.engine import summary
from autoreg.engine.acquisition.proposer import Proposer
from autoreg.engine.acquisition.shared_cost import SharedWorkLedger
from autoreg.engine.explain import explain
from autoreg.engine.initial_trials import InitialTrials
from autoreg.engine.log.events import EventLog
from autoreg.engine.log.records import LOG_VERSION, Record, StudyState
from autoreg.engine.log.trial import Ask, Result, TrialState, as_numbers
from autoreg.engine.outcome import tell_event
from autoreg.engine.pareto.front import Normalizer
from autoreg.engine.problem import Problem
from autoreg.engine.pruning.halving import Decision
from autoreg.engine.pruning.rung_decision import RungDecider
from autoreg.engine.samplers.base import make_sampler
from autoreg.engine.settings import SharedWork, Strategy
from autoreg.engine.starters import starters_in_time
from autoreg.engine.surrogate.fitting import SurrogateFitter
from autoreg.engine.surrogate.noise_model import PosteriorEstimator
from autoreg.errors import InputError, StudyError
from autoreg.space.budget import Budget

__all__ = ["NORMALIZER_TRIALS", "Engine"]

NORMALIZER_TRIALS = 10
"""Complete trials after which the scale of hypervolume is fixed, where none was given."""


class Engine:
    """Ask, report, tell, over a log that is the truth.

    Args:
        problem: What is searched, for which objectives, within which constraints.
        budget: When to stop asking; None: never.
        seed: Seed of the study. Every trial gets it too, so that trials share their common phases.
        strategy: How recipes are chosen, stopped early and run again.
        shared_work: What trials have in common: work, the noise of a seed, uncompressed prefixes.
        normalizer: Scale of hypervolume. Without one it is fixed by the first complete trials.
        log: Where events go; in memory by default. A log that has events is gone on from.
        clock: Seconds, for the budget in minutes and the times of events.

    Raises:
        InputError: If an argument is wrong.
        StudyError: If the log belongs to another study.

    Example:
        >>> from autoreg.space import Space
        >>> problem = Problem(Space.from_dict({"x": {"uniform": [0, 1]}}), {"error": "min"}, "error")
        >>> engine = Engine(problem, budget=Budget(trials=3), strategy=Strategy(sampler="random"))
        >>> while (ask := engine.ask()) is not None:
        ...     state = engine.tell(ask.number, Result("COMPLETE", {"error": ask.config["x"] ** 2}))
        >>> len(engine.trials())
        3
    """

    def __init__(
        self,
        problem: Problem,
        *,
        budget: Budget | None = None,
        seed: int = 0,
        strategy: Strategy | None = None,
        shared_work: SharedWork | None = None,
        normalizer: Normalizer | None = None,
        log: EventLog | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if normalizer is not None and normalizer.names != problem.names:
            raise InputError(
                f"the normalizer scales {', '.join(normalizer.names)}; the objectives are {', '.join(problem.names)}"
            )
        strategy, shared = strategy or Strategy(), shared_work or SharedWork()
        self.problem = problem
        self.budget = budget or Budget()
        self.seed = int(seed)
        self.log = log if log is not None else EventLog()
        self.stop_reason: str | None = None
        sampler = make_sampler(strategy.sampler, problem.space, len(problem.names), problem.excess)
        self._surrogate = SurrogateFitter(problem, seed=self.seed, group=shared.group, uncompressed=shared.uncompressed)
        self._posterior = PosteriorEstimator(problem, self._surrogate)
        trials_limited = self.budget.minutes is None and self.budget.epochs is None
        costs = shared.phase_costs
        ledger = None if costs is None else SharedWorkLedger(costs, trials_limited=trials_limited)
        self._proposer = Proposer(
            problem,
            sampler,
            self.seed,
            known_cost_filter=strategy.filters,
            surrogate=self._surrogate if strategy.screens else None,
            posterior=self._posterior if strategy.is_auto and strategy.reevaluates else None,
            ledger=ledger,
        )
        candidates = self._proposer.candidates
        self._initial = InitialTrials(problem, candidates, strategy.starters, strategy.warm_start, self.seed)
        halving = strategy.halving
        self._decider = (
            None
            if halving is None
            else RungDecider(
                halving,
                problem,
                self.seed,
                group=self._surrogate.group,
                trained_after=shared.trained_after,
                rung_stage=shared.rung_stage,
                ledger=ledger,
            )
        )
        self.explain = explain(strategy, sampler.explain)
        self._clock, self._began = clock, clock()
        self.state = StudyState(self.log.events)
        self._before = self.state.seconds  # of the time before this process
        self._open(strategy.sampler, normalizer)

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
            return _ask_of(record, again=True)
        number = len(self.state.records)
        self.stop_reason = self.budget.asked_all(number)
        if self.stop_reason is not None:
            return None
        if number == 0:
            self._proposer.require_possible(self._initial.given)
        in_time = starters_in_time(self.budget, self.seconds(), number)
        proposal = self._initial.next(self.state, in_time) or self._proposer.propose(self.state, number)
        if proposal is None:
            self.stop_reason = "no recipe is left that is new and within the constraints"
            return None
        self._note(proposal.event(number, self.seed))
        return _ask_of(self.state.records[number])

    def report(self, number: int, step: int, metrics: Mapping[str, float]) -> Literal["continue", "stop"]:
        """Take the metrics of a running trial after `step` units of work, and say whether it goes on.

        A report that was made before gets the same answer, before an interruption too: what was decided then was
        decided by what was known then.

        Raises:
            InputError: If there is no such trial, or it has ended.
        """
        record = self._running(number)
        known = record.at(step)
        if known is not None:
            return "stop" if known.decision == "stop" else "continue"
        numbers = as_numbers(metrics, f"trial {number}, step {step}")
        held = {k: v for k, v in numbers.items() if math.isfinite(v)}
        before = record.superseded_reports.get(step)
        if before is not None and before.metrics == held:
            decision = Decision(before.decision == "stop", before.reason, before.audited)
        else:
            decision = self._decide(record, step, held)
        event: dict[str, Any] = {"event": "report", "trial": number, "step": int(step)}
        event |= {"metrics": numbers, "decision": "stop" if decision.stop else "continue"}
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
        state, event = tell_event(self.problem, self._running(number), result)
        self._note(event)
        self._fix_scale()
        return state

    # -- what it knows --------------------------------------------------------------------------

    def trials(self) -> list[Record]:
        """The records of all trials, in the order of their numbers.

        The list is a new one; the records in it are the engine's own. Read them, do not change them: the search follows
        from what they hold. A record of a running trial changes when the trial reports or ends.
        """
        return list(self.state.records)

    def front(self) -> list[int]:
        """Numbers of the trials that no other dominates, complete and within the constraints, ascending.

        By what was observed, of each recipe in its first run: all with the study's seed, and its noise. How good they
        are with other seeds is `incumbents` and `probabilities`.
        """
        return summary.members(self.problem, self.state)

    def incumbents(self) -> dict[int, float]:
        """The front of posterior means: quality over seeds by the number of a recipe's first trial, ascending.

        See `autoreg.engine.surrogate.noise_model`; it is what was observed (with several runs their mean) while the
        surrogate is not trusted.
        """
        return summary.incumbents(self.problem, self.state, self._posterior.qualities(self.state))

    def probabilities(self) -> dict[int, float]:
        """Probability of each trial on the front to be there with other seeds too, and of those near it.

        By drawing the qualities of all recipes near the front from their posterior, at their known costs. Empty with
        too few trials.
        """
        return summary.probabilities(self.problem, self.state, self._posterior.at(self.state), self.seed)

    def hypervolume(self) -> float | None:
        """Hypervolume of the front in the unit cube; None until the scale is fixed."""
        return summary.hypervolume(self.problem, self.state)

    def history(self) -> list[float]:
        """Hypervolume after each trial that ended, in that order; empty until the scale is fixed."""
        return summary.history(self.problem, self.state)

    def predictor(self) -> dict[str, Any]:
        """How well the surrogate predicts, whether screening trusts it, and what became of a warm start."""
        quality, prior = self._surrogate.validation(self.state), self.problem.prior
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
                {
                    "event": "start",
                    "version": LOG_VERSION,
                    **about,
                    "normalizer": scale,
                    "reference": dict(problem.reference),
                }
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
            raise InputError(f"trial {number} has ended as {record.state}; it takes no more results")
        return record

    def _decide(self, record: Record, step: int, metrics: Mapping[str, float]) -> Decision:
        first_run = record.reevaluation_of is None
        if self._decider is None or not first_run or self._initial.is_baseline(record.source):
            return Decision(False)
        return self._decider.decide(self.state, record, step, metrics)

    def _fix_scale(self) -> None:
        if self.state.normalizer is not None:
            return
        complete = self.state.complete()[:NORMALIZER_TRIALS]
        if len(complete) == NORMALIZER_TRIALS:
            logs = [n for n in self.problem.names if n != self.problem.quality and all(n in r.costs for r in complete)]
            scale = Normalizer.from_values(self.problem.objectives, self.problem.table(complete), logs)
            self._note({"event": "scale", "normalizer": scale.to_dict()})


def _ask_of(record: Record, *, again: bool = False) -> Ask:
    return Ask(record.number, record.config, record.seed, record.source, record.costs, again, record.reevaluation_of)
