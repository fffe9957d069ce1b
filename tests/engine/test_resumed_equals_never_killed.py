"""A search that was killed and resumed goes on exactly as if it never had been.

A log is cut at many places, a fresh engine is made over what is left, and the events that followed are played to it: it
must ask, decide, record and estimate what the first engine did. The suite takes a few cuts of every study and compares
what follows each at once, and the end. `pytest -m full_sweep` takes 15 cuts and compares all that follows.
"""

# long: the studies, how one is cut and played again, and the comparison are one procedure

from __future__ import annotations

import copy
import functools
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autoreg.engine import (
    SAMPLERS,
    Budget,
    Engine,
    EventLog,
    Halving,
    Normalizer,
    Problem,
    Result,
    SharedWork,
    Strategy,
)
from autoreg.engine.log.events import Event
from autoreg.engine.log.records import StudyState
from autoreg.engine.surrogate.fitting import SurrogateFitter
from autoreg.engine.surrogate.noise_model import PosteriorEstimator
from autoreg.engine.transfer.earlier_studies import Source
from autoreg.engine.transfer.prior import Prior
from autoreg.space import Space, digest
from autoreg.trial_info import TrialInfo
from tests.engine.acquisition.test_shared_cost import toy_phase_costs
from tests.engine.problems import DENSE, OBJECTIVES, toy_costs, toy_error, toy_space

TRIALS = 48
SEEDS = range(8)
FULL_CUTS = 15
SUITE_CUTS = 3
STEPS = (1, 3, 9)
"""Where a trial reports; the last is its end."""
LOOKS = 3
"""Every so many trials the figures of the front are looked at, as a progress line does: looking must change nothing."""
SCALE = Normalizer.from_dense({"error": "min", "flops": "min"}, DENSE, "error", 0.9)


# -- the studies ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """One study of the sweep. Seeds differ in what is switched on, so that the sweep covers all of it together."""

    sampler: str
    seed: int

    @property
    def workers(self) -> int:
        return 1 if self.seed % 2 == 0 else 3

    @property
    def reports(self) -> bool:
        return self.seed % 3 == 1

    @property
    def shares_work(self) -> bool:
        return self.seed in (0, 2, 3, 6, 7)

    @property
    def prefix(self) -> bool:
        return self.seed in (0, 3, 4, 7)

    @property
    def earlier(self) -> str | None:
        """What the earlier study of a warm start is like; a reversed one is dropped on the way."""
        return {3: "right", 4: "reversed", 6: "right"}.get(self.seed)

    def space(self) -> Space:
        return grid_space() if self.sampler == "grid" else toy_space()

    def engine(self, log: EventLog) -> Engine:
        """The study's engine, all of it made anew, as another process would."""
        space = self.space()
        problem = Problem(
            space,
            OBJECTIVES,
            "error",
            costs=toy_costs,
            prior=None if self.earlier is None else Prior(space, [earlier_study(space, self.earlier)]),
        )
        return Engine(
            problem,
            budget=Budget(trials=TRIALS),
            seed=self.seed,
            strategy=Strategy(self.sampler, prune=Halving(audit=0.2) if self.reports else False, reevaluate=True),
            shared_work=SharedWork(
                toy_phase_costs if self.shares_work else None,
                trained if self.shares_work else None,
                uncompressed if self.prefix else None,
            ),
            normalizer=None if self.seed % 3 == 2 else SCALE,
            log=log,
        )


def grid_space() -> Space:
    """768 recipes."""
    return Space.from_dict(
        {
            "amount": [0.0, 0.3, 0.6, 0.9],
            "bits": [2, 4, 8, 32],
            "regularizer": ["none", {"l1": {"strength": [1e-3]}}],
            "rate": [0.0001, 0.001, 0.01, 0.1, 0.3, 1.0],
            "width": [1, 2, 3, 4],
        }
    )


def trained(config: dict[str, Any]) -> str:
    """The key of a config's training."""
    return str(toy_phase_costs(config)[0][0])


def uncompressed(config: dict[str, Any]) -> dict[str, Any]:
    return {**config, "amount": 0.0, "bits": 32}


def earlier_study(space: Space, how: str) -> Source:
    rng = np.random.default_rng(11)
    configs = [space.sample(rng) for _ in range(40)]
    sign = -1.0 if how == "reversed" else 1.0
    return Source.of(space, how, [space.flatten(c) for c in configs], [sign * toy_error(c) for c in configs])


def noisy_error(config: dict[str, Any], seed: int) -> float:
    """The toy's error with noise of recipe and seed, a third of its variance shared by one training."""

    def normal(key: str) -> float:
        return float(np.random.default_rng([seed, int(digest({"key": key})[:12], 16)]).standard_normal())

    noise = 0.05 * (0.8 * normal(digest(config)) + 0.6 * normal(trained(config)))
    return float(np.clip(toy_error(config) + noise, 0.001, 0.9))


# -- never killed --------------------------------------------------------------------------------


@dataclass
class Whole:
    """A study that was never killed: its events, and its front over seeds after some numbers of events."""

    events: list[Event]
    figures: dict[int, dict[int, float]] = field(default_factory=dict)


def never_killed(case: Case, log: EventLog | None = None) -> Whole:
    """Run a study to its end; which of the running trials goes on next is drawn."""
    log = EventLog() if log is None else log
    engine, rng = case.engine(log), np.random.default_rng([case.seed, 5])
    whole, running, more = Whole(log.events), dict[int, Iterator[None]](), True
    while more or running:
        while more and len(running) < case.workers:
            ask = engine.ask()
            more = ask is not None
            if ask is not None:
                running[ask.number] = evaluate(engine, case, ask.number)
        if running:
            number = int(rng.choice(sorted(running)))
            if next(running[number], "ended") == "ended":
                del running[number]
                if case.sampler == "auto" and len(engine.state.ended_numbers) % LOOKS == 0:
                    whole.figures[len(log.events)] = engine.incumbents()
    return whole


@functools.cache
def whole_of(case: Case) -> Whole:
    """The study that was never killed, run once for all tests; nobody changes it."""
    return never_killed(case)


def evaluate(engine: Engine, case: Case, number: int) -> Iterator[None]:
    """Run one trial; it stands still between what it tells the engine."""
    record = engine.state.records[number]
    config, final = record.config, noisy_error(record.config, record.seed)
    info = TrialInfo(epochs_run=STEPS[-1])
    if case.prefix:
        info.uncompressed_quality = noisy_error(uncompressed(config), record.seed)
    for k, step in enumerate(STEPS[:-1] if case.reports else ()):
        error = final + (0.9 - final) * 0.5 ** (k + 1)
        if engine.report(number, step, {"error": error}) == "stop":
            info = TrialInfo(epochs_run=step, phase_fractions=[step / STEPS[-1]])
            engine.tell(number, Result("PRUNED", {"error": error}, info))
            return
        yield
    fails = int(digest(config)[:4], 16) % 23 == 0
    engine.tell(number, Result("FAIL", reason="drawn") if fails else Result("COMPLETE", {"error": final}, info))


# -- resumed -------------------------------------------------------------------------------------


class Differs(AssertionError):
    """A resumed engine did something else than the one that was never killed."""


def timeless(event: Event) -> Event:
    return {k: v for k, v in event.items() if k != "at"}


def resume(case: Case, whole: Whole, cut: int, asks: int | None = None, log: EventLog | None = None) -> int:
    """Make an engine over the first `cut` events and play what follows to it.

    Args:
        case: The study.
        whole: The same, never killed.
        cut: How many of its events are left.
        asks: After how many asks to end; None: all.
        log: A log with these events; in memory by default.

    Returns:
        How many events were compared.

    Raises:
        Differs: If the engine asks, decides, records or estimates anything else.
    """
    if log is None:
        log = EventLog()
        log.events = copy.deepcopy(whole.events[:cut])
    engine = case.engine(log)
    resume_running(case, whole, cut, engine)
    compared = 0
    for count, event in enumerate(whole.events[cut:], start=cut + 1):
        if event["event"] == "ask":
            if asks is not None and (asks := asks - 1) < 0:
                break
            engine.ask()
        elif event["event"] == "report":
            engine.report(event["trial"], event["step"], event["metrics"])
        elif event["event"] == "tell":
            info = TrialInfo.from_dict(event["info"])
            engine.tell(event["trial"], Result(event["state"], event["metrics"], info, event["reason"]))
        if event["event"] in ("ask", "report", "tell"):
            got = [e for e in log.events if e["event"] != "scale"][-1]
            require_same(case, cut, event, timeless(got), timeless(event))
            compared += 1
        if count in whole.figures:
            require_same(case, cut, event, engine.incumbents(), whole.figures[count])
    return compared


def resume_running(case: Case, whole: Whole, cut: int, engine: Engine) -> None:
    """What was running is asked again, and all of it reports again what it had reported."""
    again = list(engine.state.again)
    for number in again:
        ask = engine.ask()
        if ask is None or (ask.number, ask.again) != (number, True):
            raise Differs(f"{case}, cut at event {cut}: trial {number} should be asked again, not {ask}")
    for event in whole.events[:cut]:
        if event["event"] == "report" and event["trial"] in again:
            decision = engine.report(event["trial"], event["step"], event["metrics"])
            require_same(case, cut, event, decision, event["decision"])


def require_same(case: Case, cut: int, event: Event, got: Any, expected: Any) -> None:
    if got != expected:
        raise Differs(f"{case}, cut at event {cut}: {event['event']} of trial {event['trial']}: {got} != {expected}")


def cuts_of(case: Case, whole: Whole, count: int) -> list[int]:
    """Where a log is cut, ascending: one of its first places, one shortly before its end, the rest drawn."""
    places, rng = len(whole.events), np.random.default_rng([case.seed, 17])
    drawn = rng.choice(np.arange(places // 4, places - 8), size=count - 2, replace=False)
    return sorted({int(rng.integers(1, places // 4)), *(int(c) for c in drawn), places - 6})


# -- the sweep -----------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("sampler", sorted(SAMPLERS))
def test_what_follows_a_cut_is_what_followed_when_nothing_was_killed(sampler: str, seed: int) -> None:
    case = Case(sampler, seed)
    whole = whole_of(case)
    assert sum(resume(case, whole, cut, asks=3) for cut in cuts_of(case, whole, SUITE_CUTS)) > 3 * SUITE_CUTS


@pytest.mark.full_sweep
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("sampler", sorted(SAMPLERS))
def test_all_that_follows_any_cut_is_what_followed_when_nothing_was_killed(sampler: str, seed: int) -> None:
    case = Case(sampler, seed)
    whole = whole_of(case)
    for cut in cuts_of(case, whole, FULL_CUTS):
        resume(case, whole, cut)


def test_the_sweep_covers_what_it_says() -> None:
    """Screened and re-evaluated recipes, stops, failures, a warm start that is dropped and one that stays."""
    sources, states = set[str](), set[str]()
    for seed in (2, 4):
        events = whole_of(Case("auto", seed)).events
        sources |= {e["source"] for e in events if e["event"] == "ask"}
        states |= {e["state"] for e in events if e["event"] == "tell"}
    assert {"screened", "reevaluation", "warm", "tpe"} <= sources
    assert states == {"COMPLETE", "PRUNED", "FAIL"}
    for seed, dropped in ((4, True), (6, False)):
        prior = Prior(toy_space(), [earlier_study(toy_space(), str(Case("auto", seed).earlier))])
        for k in range(20):
            config = toy_space().sample(np.random.default_rng(k))
            prior.update(k + 1, config, toy_error(config))
        assert prior.active != dropped


# -- each part -----------------------------------------------------------------------------------


def test_the_posterior_does_not_depend_on_when_it_was_looked_at() -> None:
    """After each trial, by one estimator that was asked after every trial before it, and by one that is new."""
    for case in (Case("auto", 0), Case("auto", 2)):
        events, state = whole_of(case).events, StudyState()
        engine = case.engine(EventLog())
        fitter = SurrogateFitter(engine.problem, seed=case.seed, group=trained)
        often, compared = PosteriorEstimator(engine.problem, fitter), 0
        for event in events:
            state.apply(event)
            found = often.at(state) if event["event"] == "tell" else None
            if found is not None:
                once = PosteriorEstimator(engine.problem, fitter).at(state)
                assert once is not None
                assert found.noise == once.noise, f"{case} after {len(state.ended_numbers)} trials"
                assert np.array_equal(found.mean, once.mean)
                compared += 1
        assert compared > 30


# -- a real kill ---------------------------------------------------------------------------------

KILLED = 30
"""The trial in whose middle the process is killed."""


def run_until_killed(path: str) -> None:
    """Run a study of one worker; the process gets SIGKILL after the first report of a trial, nothing is closed."""

    class Deadly(EventLog):
        def append(self, event: Any) -> Event:
            recorded = super().append(event)
            if event["event"] == "report" and event["trial"] == KILLED:
                os.kill(os.getpid(), signal.SIGKILL)
            return recorded

    never_killed(Case("auto", 4), Deadly(path))


def test_a_process_that_is_killed_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    code = f"from {__name__} import run_until_killed; run_until_killed({str(path)!r})"
    died = subprocess.run([sys.executable, "-c", code], check=False)
    assert died.returncode == -signal.SIGKILL
    case = Case("auto", 4)
    whole = whole_of(case)
    with EventLog(path) as log:
        cut = len(log.events)
        assert [timeless(e) for e in log.events] == [timeless(e) for e in whole.events[:cut]]
        assert whole.events[cut - 1]["trial"] == KILLED
        resume(case, whole, cut, log=log)
