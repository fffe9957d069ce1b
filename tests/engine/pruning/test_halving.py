"""Early stopping on several objectives, on curves made by hand."""

from __future__ import annotations

import numpy as np
import pytest

from autoreg.engine import Budget, Engine, Halving, Result
from autoreg.engine.pruning.final_forecast import optimistic_final
from autoreg.errors import InputError
from autoreg.space import digest
from tests.engine.problems import build_engine, toy_space

PEERS = [[0.1 * k, 10.0 - k] for k in range(1, 9)]  # a front of eight: better error, higher cost
BOTH = {"error": "min", "flops": "min"}


def decide(own: list[float], others: list[list[float]], halving: Halving | None = None, **more: object) -> bool:
    rest = {"quality": 0, "finished": [], "finals": np.zeros((0, 2))} | more
    return (halving or Halving()).decide(own, others, **rest).stop  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("eta", "first", "reported", "expected"),
    [
        (3, 1, range(1, 30), [1, 3, 9, 27]),
        (2, 1, range(1, 30), [1, 2, 4, 8, 16]),
        (3, 2, range(1, 30), [2, 6, 18]),
        (1.5, 2, range(30), [2, 3, 5, 8, 12, 18, 27]),
        (3, 1, [3, 10, 1000, 2000, 3000], [3, 10, 1000, 3000]),
        (3, 1, [5, 10, 15, 20, 45], [5, 15, 45]),
    ],
)
def test_rungs_grow_by_eta_from_the_first_report(
    eta: float, first: int, reported: list[int], expected: list[int]
) -> None:
    halving, steps = Halving(eta=eta, first=first), list(reported)
    assert [s for k, s in enumerate(steps) if halving.is_rung(s, steps[:k])] == expected


def test_nobody_is_stopped_before_enough_others_were_seen() -> None:
    assert not decide([0.9, 20.0], PEERS[:4])
    assert decide([0.9, 20.0], PEERS[:5])


def test_rank_zero_goes_on_whatever_its_place() -> None:
    """With eight on a front of nine only three would be kept; all are rank 0."""
    for k in range(8):
        assert not decide(PEERS[k], PEERS[:k] + PEERS[k + 1 :])
    assert not decide([0.95, 0.5], PEERS), "the cheapest of all is never dominated"


def test_the_best_third_goes_on_and_the_rest_stops() -> None:
    """One objective: of nine trials the best three go on."""
    halving = Halving(eta=3)
    values = [[0.1], [0.2], [0.3], [0.4], [0.5], [0.6], [0.7], [0.8]]
    stops = [
        halving.decide([own], values, quality=0, finished=[], finals=np.zeros((0, 1))).stop
        for own in (0.05, 0.15, 0.25, 0.35, 0.85)
    ]
    assert stops == [False, False, False, True, True]


def test_ties_within_a_rank_are_broken_by_hypervolume_contribution() -> None:
    """Three of rank 1 compete for one place: the one that covers most alone goes on."""
    first = [[0.0, 0.0]]
    second = [[1.0, 3.0], [3.0, 1.0]]
    worse = [[4.0, 4.0], [4.5, 4.5]]
    assert not decide([1.5, 1.5], [*first, *second, *worse]), "place 2 of 6 and 2 are kept"
    assert decide([2.9, 1.05], [*first, [1.0, 1.2], [3.0, 1.0], *worse])


def test_only_a_recent_window_counts() -> None:
    """Early trials were bad; by them the trial would pass, by the last six it does not."""
    old, new = [[0.9]] * 30, [[0.1], [0.11], [0.12], [0.13], [0.14], [0.15]]
    narrow, wide = Halving(window=6), Halving(window=100)
    for halving, stop in ((narrow, True), (wide, False)):
        assert halving.decide([0.2], old + new, quality=0, finished=[], finals=np.zeros((0, 1))).stop is stop


def test_even_rank_zero_stops_when_its_optimistic_bound_is_dominated() -> None:
    """It has error 0.5 at cost 5; others fell by 0.05 to 0.2 from here; 0.15 at cost 4 is there already."""
    finished = [[0.6, 0.5], [0.7, 0.55], [0.3, 0.1], [0.4, 0.35], [0.9, 0.8]]
    own, others = [0.5, 5.0], [[0.6, 6.0]] * 5
    assert decide(own, others, finished=finished, finals=[[0.15, 4.0]])
    assert not decide(own, others, finished=finished, finals=[[0.35, 4.0]]), "it may still reach 0.3"
    assert not decide(own, others, finished=finished, finals=[[0.15, 5.5]]), "at its cost nothing is as good"
    assert not decide(own, others, finished=finished[:4], finals=[[0.15, 4.0]]), "too few curves for a forecast"


def test_the_rank_alone_stops_nobody_where_rungs_are_the_objectives_own() -> None:
    """A compressed copy scored before fine-tuning: its rank is no reason, unless somebody says so."""
    bad = [0.9, 20.0]
    assert decide(bad, PEERS)
    assert not decide(bad, PEERS, Halving(every_report_is_rung=True))
    assert decide(bad, PEERS, Halving(every_report_is_rung=True, rank=True))
    assert not decide(bad, PEERS, Halving(rank=False))


def test_a_rung_that_tells_nothing_stops_nobody_for_standing_badly_there() -> None:
    """Scored at chance before fine-tuning, and good afterwards: the forecast is what the others became."""
    rng = np.random.default_rng(0)
    rungs, finals = rng.uniform(0.6, 0.9, 30), rng.normal(0.1, 0.01, 30)
    low = optimistic_final(0.9, rungs, finals, 0.05)
    assert 0.06 < low < 0.09
    assert optimistic_final(0.6, rungs, finals, 0.05) == pytest.approx(low, abs=0.01)
    assert optimistic_final(0.9, rungs, finals, 0.05, wrong=1) < low


@pytest.mark.parametrize("kind", ["amount", "factor", "nothing"])
def test_one_in_twenty_turns_out_better_than_the_optimistic_end(kind: str) -> None:
    """The 5 % quantile holds what it says, whatever relation there is between rung and end."""
    rng = np.random.default_rng(1)
    better = 0
    for _ in range(600):
        rungs = rng.uniform(0.3, 0.6, 26)
        noise = rng.normal(0, 0.02, 26)
        finals = {"amount": rungs - 0.2, "factor": 0.5 * rungs, "nothing": np.full(26, 0.2)}[kind] + noise
        better += finals[-1] < optimistic_final(rungs[-1], rungs[:-1], finals[:-1], 0.05)
    assert 0.01 < better / 600 < 0.08


def test_the_forecast_is_the_textbook_prediction_interval() -> None:
    """Ten finals, of which the rung tells nothing: mean + t(9; 5 %) * deviation * sqrt(1 + 1 / 10)."""
    finals = np.array([0.2, 0.25, 0.22, 0.27, 0.24, 0.26, 0.21, 0.23, 0.28, 0.24])
    rungs = np.array([0.7, 0.9, 0.5, 0.8, 0.6, 0.9, 0.5, 0.8, 0.6, 0.7]) * 1e3
    expected = finals.mean() - 1.8331129 * finals.std(ddof=1) * np.sqrt(1.1)
    line = np.polyfit(rungs, finals, 1)
    at = 700.0
    rest = np.sqrt(np.sum((finals - np.polyval(line, rungs)) ** 2) / 8)
    leverage = 1 + 0.1 + (at - rungs.mean()) ** 2 / np.sum((rungs - rungs.mean()) ** 2)
    of_line = np.polyval(line, at) - 1.8595480 * rest * np.sqrt(leverage)
    assert optimistic_final(at, rungs, finals, 0.05) == pytest.approx(min(expected, of_line), abs=1e-6)


def test_variants_of_one_training_count_once() -> None:
    """The same values, each three times over as variants of one training, predict what they do once."""
    rng = np.random.default_rng(2)
    rungs, finals = rng.uniform(0.3, 0.6, 12), rng.uniform(0.1, 0.2, 12)
    names = [f"training {k}" for k in range(12)]
    once = optimistic_final(0.5, rungs, finals, 0.05, groups=names)
    assert once == pytest.approx(optimistic_final(0.5, rungs, finals, 0.05))
    often = optimistic_final(0.5, np.repeat(rungs, 3), np.repeat(finals, 3), 0.05, groups=np.repeat(names, 3).tolist())
    assert often == pytest.approx(once)
    uneven = optimistic_final(
        0.5, np.append(rungs, [rungs[0]] * 30), np.append(finals, [finals[0]] * 30), 0.05, groups=names + names[:1] * 30
    )
    assert uneven == pytest.approx(once), "thirty more variants of one training are no thirty trainings"
    assert optimistic_final(0.5, np.repeat(rungs, 3), np.repeat(finals, 3), 0.05) > once, (
        "without groups it is too sure"
    )


def test_with_shared_noise_the_quantile_holds_only_by_groups() -> None:
    """Five trainings with eight variants each, whose finals share the noise of the training: a new one is predicted."""
    rng = np.random.default_rng(3)
    names = np.repeat([str(k) for k in range(5)], 8).tolist()
    grouped = alone = 0
    for _ in range(600):
        noise = rng.normal(0, 0.02, 6)
        rungs = rng.uniform(0.4, 0.6, 41)
        finals = 0.2 + np.append(np.repeat(noise[:5], 8), noise[5]) + rng.normal(0, 0.004, 41)
        low = optimistic_final(rungs[-1], rungs[:-1], finals[:-1], 0.05, groups=names)
        grouped += finals[-1] < low
        alone += finals[-1] < optimistic_final(rungs[-1], rungs[:-1], finals[:-1], 0.05)
    assert 0.01 < grouped / 600 < 0.05
    assert alone / 600 > 0.07, "forty trials that are taken for independent"


def test_settings_out_of_range_are_refused() -> None:
    for wrong in ({"eta": 1.0}, {"first": 0}, {"audit": 2.0}, {"window": 3}, {"optimism": 0.1}):
        with pytest.raises(InputError, match=next(iter(wrong))):
            Halving(**wrong)


def engine_of(halving: Halving, **more: object) -> Engine:
    return build_engine(
        toy_space(),
        BOTH,
        quality="error",
        costs=lambda c: {"flops": 1.0},
        budget=Budget(trials=400),
        identity=digest,
        prune=halving,
        sampler="random",
        **more,
    )


def test_the_engine_stops_a_trial_that_falls_behind() -> None:
    """All cost the same; nine good trials, then a bad one: it stops at the first rung it reaches."""
    engine = engine_of(Halving(audit=0.0))
    for k in range(9):
        ask = engine.ask()
        assert ask is not None
        assert engine.report(ask.number, 1, {"error": 0.3}) == "continue"
        engine.tell(ask.number, Result("COMPLETE", {"error": 0.1 + 0.001 * k}))
    bad = engine.ask()
    assert bad is not None
    assert engine.report(bad.number, 1, {"error": 0.8}) == "stop"
    assert engine.report(bad.number, 1, {"error": 0.8}) == "stop", "a report that comes twice has one answer"
    assert engine.tell(bad.number, Result("PRUNED", {"error": 0.8}, reason="stopped")) == "PRUNED"
    assert len(engine.state.records[bad.number].reports) == 1
    assert engine.summary()["stopped"] == 1


@pytest.mark.parametrize(("tuned", "answer"), [(False, "stop"), (True, "continue")])
def test_the_end_is_forecast_from_trials_that_train_the_same_after_the_rung(tuned: bool, answer: str) -> None:
    """Nine trials end near their rung; of one that is tuned thereafter, as none of them was, they say nothing."""
    late: list[dict[str, object]] = []
    engine = engine_of(Halving(audit=0.0, rank=False), trained_after=lambda c: str(tuned and c in late))
    for k in range(9):
        ask = engine.ask()
        assert ask is not None
        engine.report(ask.number, 1, {"error": 0.3 + 0.01 * k})
        engine.tell(ask.number, Result("COMPLETE", {"error": 0.29 + 0.01 * k}))
    bad = engine.ask()
    assert bad is not None
    late.append(bad.config)
    assert engine.report(bad.number, 1, {"error": 0.8}) == answer


@pytest.mark.parametrize(("shared", "answer"), [(True, "continue"), (False, "stop")])
def test_a_trial_whose_work_is_paid_is_never_stopped(shared: bool, answer: str) -> None:
    """The phases of the bad trial: a training that others have done and nothing after it, or one of its own."""
    bad: list[dict[str, object]] = []

    def phase_costs(config: dict[str, object]) -> list[tuple[str, float]]:
        own = config in bad and not shared
        return [("own" if own else "common", 10.0), (digest(config), 0.0)]

    engine = engine_of(Halving(audit=0.0), phase_costs=phase_costs)
    for k in range(9):
        ask = engine.ask()
        assert ask is not None
        engine.report(ask.number, 1, {"error": 0.3})
        engine.tell(ask.number, Result("COMPLETE", {"error": 0.1 + 0.001 * k}))
    late = engine.ask()
    assert late is not None
    bad.append(late.config)
    assert engine.report(late.number, 1, {"error": 0.8}) == answer


@pytest.mark.parametrize(("reported", "stops"), [({"error"}, True), ({"speed"}, False)])
def test_objectives_unknown_at_the_rung_are_left_out_but_never_the_quality(reported: set[str], stops: bool) -> None:
    engine = build_engine(
        toy_space(),
        BOTH,
        quality="error",
        budget=Budget(trials=50),
        identity=digest,
        prune=Halving(audit=0.0),
        sampler="random",
    )
    answers = []
    for k in range(10):
        ask = engine.ask()
        assert ask is not None
        answers.append(engine.report(ask.number, 1, dict.fromkeys(reported, 0.1 * k)))
        engine.tell(ask.number, Result("COMPLETE", {"error": 0.1 * k, "flops": 1.0}))
    assert ("stop" in answers) is stops


def test_baselines_are_never_stopped() -> None:
    space = toy_space()
    dense = space.sample(np.random.default_rng(3))
    engine = engine_of(Halving(audit=0.0, min_reports=1), starters=[("dense", dense)])
    first = engine.ask()
    assert first is not None
    for _ in range(6):
        ask = engine.ask()
        assert ask is not None
        engine.report(ask.number, 1, {"error": 0.1})
    assert first.source == "dense"
    assert engine.report(first.number, 1, {"error": 0.9}) == "continue"


def test_a_twentieth_of_the_stops_is_audited_and_seeded() -> None:
    halving = Halving()
    chosen = [halving.audits(0, n) for n in range(4000)]
    assert chosen == [halving.audits(0, n) for n in range(4000)]
    assert 0.035 < np.mean(chosen) < 0.065
    assert not any(Halving(audit=0.0).audits(0, n) for n in range(100))


def test_an_audited_trial_goes_on_to_its_end_and_is_counted() -> None:
    engine = engine_of(Halving(audit=1.0))
    for _ in range(6):
        ask = engine.ask()
        assert ask is not None
        engine.report(ask.number, 1, {"error": 0.1})
        engine.tell(ask.number, Result("COMPLETE", {"error": 0.1}))
    late, bad = engine.ask(), engine.ask()
    assert late is not None
    assert bad is not None
    for trial, final in ((late, 0.05), (bad, 0.9)):
        assert [engine.report(trial.number, s, {"error": 0.9}) for s in (1, 3)] == ["continue", "continue"]
        engine.tell(trial.number, Result("COMPLETE", {"error": final}))
    assert engine.audit() == {"audited": 2, "ended": 2, "wrong": 1}
    found = engine.wrong_stops()
    assert (found["stopped"], found["wrong"]) == (0.0, 0.5)
    assert found["most"] == pytest.approx(0.9487, abs=1e-4), "1 - (1 - p)^2 - 2 p (1 - p) = 0.9"
    audited = [e for e in engine.log.events if e.get("audit")]
    assert [(e["trial"], e["decision"]) for e in audited] == [(late.number, "continue"), (bad.number, "continue")]
    assert all("dominated" in e["reason"] or "place" in e["reason"] for e in audited)
