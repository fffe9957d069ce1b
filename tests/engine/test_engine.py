"""The engine: right states, budgets, constraints, duplicates, and nothing lost at a kill."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autoreg.engine import (
    Budget,
    Engine,
    EventLog,
    Halving,
    Interval,
    Normalizer,
    Result,
    read_events,
    read_state,
    summary,
)
from autoreg.engine.acquisition.attained_front import AttainedFront
from autoreg.errors import AutoregError, InputError, StudyError
from autoreg.space import Expression, Space, digest
from autoreg.trial_info import TrialInfo
from tests.engine.problems import (
    DENSE,
    OBJECTIVES,
    build_engine,
    evaluate,
    keys,
    next_ask,
    run,
    small_space,
    toy_costs,
    toy_error,
    toy_space,
)

SCALE = Normalizer.from_dense({"error": "min", "flops": "min"}, DENSE, "error", 0.9)


def toy(trials: int | None = 30, *, constraints: tuple[str, ...] = (), **more: Any) -> Engine:
    given: dict[str, Any] = {
        "quality": "error",
        "costs": toy_costs,
        "normalizer": SCALE,
        "budget": Budget(trials=trials),
        "reference": {"dense.flops": DENSE["flops"]},
        "identity": digest,
        "constraints": tuple(Expression.parse(c, "test") for c in constraints),
    }
    return build_engine(more.pop("space", None) or toy_space(), OBJECTIVES, **(given | more))


def small(trials: int | None = 30, **more: Any) -> Engine:
    given: dict[str, Any] = {"quality": "error", "budget": Budget(trials=trials), "identity": digest}
    return build_engine(more.pop("space", None) or small_space(), {"error": "min"}, **(given | more))


def finish(engine: Engine, error: float = 0.5) -> dict[str, Any] | None:
    ask = engine.ask()
    if ask is None:
        return None
    engine.tell(ask.number, Result("COMPLETE", {"error": error}))
    return ask.config


# -- states -----------------------------------------------------------------------------------


def test_states_metrics_and_reasons_are_kept() -> None:
    engine = toy()
    asks = [next_ask(engine) for _ in range(4)]
    engine.tell(asks[0].number, Result("COMPLETE", {"error": 0.2, "depth": 3.0}, TrialInfo(epochs_run=4, notes=["x"])))
    engine.tell(asks[1].number, Result("PRUNED", {"error": 0.4}, TrialInfo(epochs_run=1), "stopped at step 1"))
    engine.tell(asks[2].number, Result("FAIL", reason="out of memory"))
    rows = engine.trials()
    assert [r["state"] for r in rows] == ["COMPLETE", "PRUNED", "FAIL", "RUNNING"]
    assert rows[0]["metrics"] == {"error": 0.2, "depth": 3.0, "flops": rows[0]["costs"]["flops"]}
    assert rows[1]["metrics"]["error"] == 0.4
    assert (rows[1]["reason"], rows[2]["reason"]) == ("stopped at step 1", "out of memory")
    assert engine.front() == [0]
    summary = engine.summary()
    assert {k: summary[k] for k in ("asked", "done", "stopped", "failed", "running", "front", "epochs")} == {
        "asked": 4,
        "done": 1,
        "stopped": 1,
        "failed": 1,
        "running": 1,
        "front": 1,
        "epochs": 5.0,
    }


@pytest.mark.parametrize(
    ("metrics", "reason"),
    [
        ({}, "objective 'error' is missing from the result; it has: flops"),
        ({"error": math.nan}, "objective 'error' is nan, which is no finite number"),
        ({"error": 0.1, "flops": math.inf}, "objective 'flops' is inf"),
        ({"error": "bad"}, "metric 'error' is 'bad'"),
    ],
)
def test_a_result_without_finite_objectives_is_a_failure(metrics: dict[str, Any], reason: str) -> None:
    engine = toy()
    ask = next_ask(engine)
    assert engine.tell(ask.number, Result("COMPLETE", metrics)) == "FAIL"
    assert reason in engine.trials()[0]["reason"]
    assert all(math.isfinite(v) for v in engine.trials()[0]["metrics"].values())
    assert engine.front() == []


def test_other_metrics_that_are_not_finite_do_no_harm(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "events.jsonl")
    engine = toy(log=log)
    ask = next_ask(engine)
    assert engine.tell(ask.number, Result("COMPLETE", {"error": 0.1, "spread": math.nan})) == "COMPLETE"
    assert "spread" not in engine.trials()[0]["metrics"]
    assert read_events(tmp_path / "events.jsonl")[-1]["nonfinite"] == {"metrics.spread": "nan"}


def test_known_costs_are_filled_in_and_a_measured_value_wins() -> None:
    engine = toy()
    first, second = next_ask(engine), next_ask(engine)
    engine.tell(first.number, Result("COMPLETE", {"error": 0.2}))
    engine.tell(second.number, Result("COMPLETE", {"error": 0.2, "flops": 7.0}))
    rows = engine.trials()
    assert rows[0]["metrics"]["flops"] == toy_costs(first.config)["flops"]
    assert rows[1]["metrics"]["flops"] == 7.0


def test_info_that_is_no_json_does_not_lose_the_trial() -> None:
    engine = toy()
    ask = next_ask(engine)
    result = Result("COMPLETE", {"error": 0.2}, TrialInfo(user={"model": object()}))
    assert engine.tell(ask.number, result) == "COMPLETE"
    assert "could not be kept" in engine.trials()[0]["info"].notes[0]


def test_only_running_trials_take_results() -> None:
    engine = toy()
    ask = next_ask(engine)
    engine.tell(ask.number, Result("COMPLETE", {"error": 0.2}))
    for call in (lambda: engine.tell(0, Result("FAIL")), lambda: engine.report(0, 1, {"error": 0.1})):
        with pytest.raises(InputError, match="trial 0 has ended as COMPLETE"):
            call()
    with pytest.raises(InputError, match="there is no trial 5; 1 were asked"):
        engine.tell(5, Result("FAIL"))


def test_wrong_arguments_are_refused_at_once() -> None:
    with pytest.raises(InputError, match="'accuracy' is not among the objectives"):
        toy(quality="accuracy")
    with pytest.raises(InputError, match=r"sampler 'tpee' is not known.*Did you mean 'tpe'"):
        toy(sampler="tpee")
    with pytest.raises(InputError, match="trials = -1"):
        toy(-1)
    with pytest.raises(InputError, match="direction 'down'"):
        build_engine(toy_space(), {"error": "down"}, quality="error", identity=digest)
    with pytest.raises(InputError, match="a grid needs at most"):
        toy(sampler="grid")


# -- budget -----------------------------------------------------------------------------------


def test_trials_end_the_asking() -> None:
    engine = toy(5, sampler="random")
    assert len(run(engine)) == 5
    assert engine.stop_reason == "all 5 trials were asked"


def test_minutes_end_the_asking_and_pauses_do_not_count(tmp_path: Path) -> None:
    now = [100.0]
    path = tmp_path / "events.jsonl"
    engine = small(None, budget=Budget(minutes=1), log=EventLog(path), clock=lambda: now[0])
    finish(engine)
    now[0] += 40
    finish(engine)
    engine.log.close()
    now[0] += 10_000  # a night without power
    again = small(None, budget=Budget(minutes=1), log=EventLog(path), clock=lambda: now[0])
    assert again.seconds() == pytest.approx(40)
    assert finish(again) is not None
    now[0] += 21
    assert again.ask() is None
    assert "1 minutes are over" in str(again.stop_reason)
    again.log.close()


def test_epochs_end_the_asking() -> None:
    engine = toy(None, budget=Budget(epochs=25), sampler="random", prune=False)
    assert len(run(engine)) == 3  # 9 epochs each
    assert engine.stop_reason == "27 of 25 epochs are paid"


def test_time_left_is_guessed_from_what_is_over() -> None:
    now = [0.0]
    engine = small(5, clock=lambda: now[0], sampler="random")
    assert engine.summary()["time_left"] is None
    for _ in range(2):
        now[0] += 10.0
        finish(engine)
    assert engine.summary()["time_left"] == pytest.approx(30.0)


# -- duplicates, constraints, the end of a space -----------------------------------------------


@pytest.mark.parametrize("sampler", ["auto", "tpe", "random", "nsga2", "grid", "evolution"])
def test_a_finite_space_is_asked_once_each_and_then_it_is_over(sampler: str) -> None:
    engine = small(sampler=sampler)
    configs = []
    while (config := finish(engine)) is not None:
        configs.append(config)
    assert sorted(keys(configs)) == sorted(keys(list(small_space().enumerate(100))))
    assert "no recipe is left" in str(engine.stop_reason)


def test_configs_of_one_identity_are_one_recipe() -> None:
    """Bits alone decide here: three recipes instead of six."""
    engine = small(identity=lambda c: str(c["bits"]))
    while finish(engine) is not None:
        pass
    assert sorted(r["config"]["bits"] for r in engine.trials()) == [2, 4, 8]


def test_a_failed_recipe_is_not_tried_again() -> None:
    engine = small()
    while (ask := engine.ask()) is not None:
        engine.tell(ask.number, Result("FAIL", reason="no"))
    assert len(engine.trials()) == 6


@pytest.mark.parametrize("sampler", ["auto", "random", "nsga2", "evolution"])
def test_nothing_is_asked_that_breaks_a_constraint_at_known_cost(sampler: str) -> None:
    engine = toy(25, constraints=("flops <= 0.1 * dense.flops",), sampler=sampler)
    run(engine)
    assert len(engine.trials()) == 25
    assert max(r["costs"]["flops"] for r in engine.trials()) <= 0.1 * DENSE["flops"]


def test_constraints_of_the_space_hold_too() -> None:
    engine = toy(15, space=toy_space(("flops <= 200",)), constraints=("flops <= 400",), sampler="random")
    run(engine)
    assert max(r["costs"]["flops"] for r in engine.trials()) <= 200


def test_constraints_that_nothing_meets_are_an_error_at_the_first_ask() -> None:
    engine = toy(constraints=("flops <= 0.0001 * dense.flops",))
    with pytest.raises(InputError, match=r"no recipe of the space can be tried.*flops <= 0.0001 \* dense.flops"):
        engine.ask()


@pytest.mark.parametrize("how", ["starters", "warm_start"])
def test_where_only_a_given_config_is_possible_it_is_asked_and_the_study_ends(how: str) -> None:
    """One config of a continuous space meets the constraint; no draw ever hits it, and none was given is an error."""
    space = Space.from_dict({"amount": {"uniform": [0.0, 1.0]}})
    only, too_dear = {"amount": 1.0}, {"amount": 0.5}

    def engine(configs: list[dict[str, Any]], sampler: str = "auto") -> Engine:
        given: Any = [("baseline", c) for c in configs] if how == "starters" else configs
        return build_engine(
            space,
            {"error": "min", "flops": "min"},
            quality="error",
            costs=lambda config: {"flops": 1000.0 * (1 - config["amount"])},
            constraints=[Expression.parse("flops <= 0", "test")],
            budget=Budget(trials=5),
            sampler=sampler,
            **{how: given},
        )

    for sampler in ("auto", "random", "nsga2", "evolution"):
        study = engine([too_dear, only], sampler)
        while finish(study) is not None:
            pass
        asked = [r["config"] for r in study.trials()]
        assert asked == ([too_dear, only] if how == "starters" else [only])
        assert study.front() == [len(asked) - 1]
        assert study.stop_reason == "no recipe is left that is new and within the constraints"
    for configs in ([], [too_dear]):
        with pytest.raises(InputError, match=r"no recipe of the space can be tried.*'flops <= 0' broken"):
            engine(configs).ask()


def test_constraints_on_quality_are_judged_at_the_end() -> None:
    engine = toy(constraints=("error <= 0.3",))
    good, bad = next_ask(engine), next_ask(engine)
    engine.tell(good.number, Result("COMPLETE", {"error": 0.3, "flops": 10.0}))
    engine.tell(bad.number, Result("COMPLETE", {"error": 0.5, "flops": 5.0}))
    assert [r["feasible"] for r in engine.trials()] == [True, False]
    assert engine.front() == [0]
    assert engine.hypervolume() == pytest.approx(SCALE.hypervolume([[0.3, 10.0]]))


def test_a_cost_function_that_fails_names_its_failure() -> None:
    def broken(config: dict[str, Any]) -> dict[str, float]:
        raise ZeroDivisionError("no layers")

    with pytest.raises(InputError, match="the cost function failed: ZeroDivisionError: no layers"):
        toy(costs=broken).ask()
    with pytest.raises(InputError, match="flops = nan; a known cost is a finite number"):
        toy(costs=lambda c: {"flops": math.nan}).ask()


def test_starters_come_first_whatever_the_constraints_say() -> None:
    space = toy_space()
    rng = np.random.default_rng(5)
    dense, uniform, warm = (space.sample(rng) for _ in range(3))
    dense = dense | {"amount": 0.0, "bits": 32, "width": 4}
    engine = toy(
        6,
        constraints=("flops <= 0.5 * dense.flops",),
        starters=[("dense", dense), ("dense", dict(dense)), ("uniform", uniform | {"amount": 0.9})],
        warm_start=[dense, warm | {"amount": 0.95}],
    )
    run(engine)
    rows = engine.trials()
    assert [r["source"] for r in rows[:3]] == ["dense", "uniform", "warm"]
    assert rows[0]["feasible"] is False
    assert rows[0]["number"] not in engine.front()
    assert len(set(keys([r["config"] for r in rows]))) == 6


def test_a_baseline_from_outside_of_the_space_is_no_trouble(tmp_path: Path) -> None:
    """A dense recipe may use values that the space does not search."""
    stranger = {"something": "else", "bits": 32, "width": 1, "amount": 0.0, "rate": 0.01, "regularizer": "none"}
    for sampler in ("auto", "nsga2"):
        engine = toy(32, starters=[("dense", stranger)], sampler=sampler)
        assert len(run(engine)) == 32


# -- what is passed over, screened and predicted -----------------------------------------------


def test_candidates_that_cannot_extend_the_front_are_passed_over() -> None:
    """A free lunch is on the table: no error at a thirtieth of the cost. Only cheaper recipes can extend that."""
    space = toy_space()
    best = space.sample(np.random.default_rng(0)) | {"amount": 0.5, "bits": 4, "width": 2}
    engine = toy(30, starters=[("known", best)], screen=False)
    ask = next_ask(engine)
    limit = ask.costs["flops"]
    engine.tell(ask.number, Result("COMPLETE", {"error": 0.0}))
    costs = []
    for _ in range(8):
        ask = next_ask(engine)
        costs.append(ask.costs["flops"])
        engine.tell(ask.number, Result("COMPLETE", {"error": 0.5}))
    assert max(costs) < limit
    free = toy(30, starters=[("known", best)], sampler="tpe")
    run(free)
    assert max(r["costs"]["flops"] for r in free.trials()[1:]) > limit, "TPE alone knows nothing of this"


def test_a_cost_with_an_error_is_an_interval_and_never_dominates_as_if_exact() -> None:
    """Latency within a factor of two: the middle is recorded, and a twin a little dearer is not passed over for it."""
    asked = {"low": 100.0, "middle": 200.0, "high": 400.0}
    engine = toy(30, costs=lambda c: {"flops": Interval(**asked)}, screen=False)
    ask = next_ask(engine)
    assert ask.costs == {"flops": 100.0}
    engine.tell(ask.number, Result("COMPLETE", {"error": 0.0}))
    record = engine.state.records[0]
    assert record.metrics["flops"] == 200.0
    assert record.intervals == {"flops": [100.0, 200.0, 400.0]}
    frontier = AttainedFront(engine.problem)
    assert frontier.could_extend(engine.state, [{"flops": f} for f in (100.0, 300.0, 500.0)]).tolist() == [
        True,
        True,
        False,
    ]
    second = next_ask(engine)
    engine.tell(second.number, Result("COMPLETE", {"error": 0.0, "flops": 150.0}))
    assert AttainedFront(engine.problem).could_extend(engine.state, [{"flops": 160.0}]).tolist() == [False], (
        "what was measured is exact"
    )


def test_what_is_sought_is_improvement_per_epoch_to_be_paid() -> None:
    """All with one of two widths have their training paid for: they are preferred, the other width is not starved."""
    share = {}
    for name, price in (("even", None), ("paid", lambda c: [(digest(c), 0.0 if c["width"] == 2 else 50.0)])):
        engine = toy(60, seed=2, phase_costs=price)
        run(engine)
        widths = [r["config"]["width"] for r in engine.trials() if r["source"] == "screened"]
        assert len(widths) >= 8
        share[name] = np.mean(np.array(widths) == 2)
    assert share["paid"] > max(2 * share["even"], 0.5)


def test_screening_is_used_once_the_predictor_is_trusted() -> None:
    engine = toy(45)
    run(engine)
    sources = [r["source"] for r in engine.trials()]
    assert "screened" not in sources[:8]
    assert sources.count("screened") >= 5
    quality = engine.predictor()
    assert quality["trusted"]
    assert quality["log_score"] > quality["log_score_baseline"]
    assert sum(quality["weights"].values()) == pytest.approx(1)
    predictions = [r["prediction"] for r in engine.trials() if r["source"] == "screened"]
    assert all(p["low"] <= p["objectives"]["error"] <= p["high"] and p["trusted"] for p in predictions)


def test_with_shuffled_labels_the_search_is_no_worse_than_random() -> None:
    """Errors that have nothing to do with the recipe: there is only cost to be won, and no wrong lesson to follow."""
    reached: dict[str, list[float]] = {"auto": [], "random": []}
    for sampler, seed in itertools.product(reached, range(6)):
        rng = np.random.default_rng(seed)
        engine = toy(45, seed=seed, sampler=sampler)
        while (ask := engine.ask()) is not None:
            engine.tell(ask.number, Result("COMPLETE", {"error": float(rng.uniform(0.1, 0.8))}))
        reached[sampler].append(engine.hypervolume() or 0.0)
    assert np.mean(reached["auto"]) >= np.mean(reached["random"])


def test_engine_without_known_costs_or_scale_still_searches() -> None:
    """A custom objective with two unknown objectives: the scale is fixed by ten complete trials."""
    engine = build_engine(
        toy_space(), {"accuracy": "max", "time": "min"}, quality="accuracy", budget=Budget(trials=40), identity=digest
    )
    while (ask := engine.ask()) is not None:
        cost = toy_costs(ask.config)["flops"]
        engine.tell(ask.number, Result("COMPLETE", {"accuracy": 1 - toy_error(ask.config), "time": cost}))
        assert (engine.hypervolume() is not None) == (len(engine.state.ended_numbers) >= 10)
    history = engine.history()
    assert len(history) == 40
    assert all(b >= a for a, b in itertools.pairwise(history))
    assert history[-1] == pytest.approx(engine.hypervolume())
    best = max(r["metrics"]["accuracy"] for r in engine.trials())
    assert best in [engine.trials()[n]["metrics"]["accuracy"] for n in engine.front()]


# -- resuming ---------------------------------------------------------------------------------


def stripped(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Events without times, resumptions, and reports that were made void."""
    state = read_state(events)
    return [r.row() | {"asked_at": 0, "ended_at": 0} for r in state.records]


@pytest.mark.parametrize(("sampler", "curve"), [("auto", True), ("auto", False), ("nsga2", True), ("random", True)])
def test_killed_and_resumed_equals_never_killed(tmp_path: Path, sampler: str, curve: bool) -> None:
    """The log is cut at many places, in the middle of lines too; what follows is the same every time."""
    path = tmp_path / "events.jsonl"
    halving = Halving(audit=0.2)

    def make(log: EventLog) -> Engine:
        return toy(44, log=log, sampler=sampler, prune=halving, normalizer=None, seed=4)

    with EventLog(path) as log:
        engine = make(log)
        run(engine, curve=curve)
        expected, figures = stripped(log.events), (engine.front(), engine.hypervolume(), engine.history())
    whole = path.read_bytes()
    assert ("PRUNED" in {r["state"] for r in expected}) == curve
    assert ("screened" in {r["source"] for r in expected}) or sampler != "auto" or curve
    rng = np.random.default_rng(0)
    ends = np.cumsum([len(line) + 1 for line in whole.split(b"\n")[:-1]])
    many = 6 if curve else 2
    inside = rng.integers(len(whole), size=many)
    scale = whole.rindex(b"\n", 0, whole.index(b'"event":"scale"')) + 1  # between a tell and what follows from it
    cuts = sorted({0, 1, scale} | {int(c) for c in (*rng.choice(ends, many), *inside)})
    for cut in cuts:
        path.write_bytes(whole[:cut])
        with EventLog(path) as log:
            resumed = make(log)
            assert (resumed.hypervolume() is None) == (cut < scale)
            run(resumed, curve=curve)
            assert stripped(log.events) == expected, f"cut at byte {cut}"
            assert (resumed.front(), resumed.hypervolume(), resumed.history()) == figures


def test_killed_again_and_again_equals_never_killed(tmp_path: Path) -> None:
    """A few events at a time, each time by a new engine."""
    expected = keys(run(toy(26, prune=Halving()), curve=True))
    path = tmp_path / "events.jsonl"
    rng = np.random.default_rng(1)
    for _ in range(400):
        with EventLog(path) as log:
            engine = toy(26, log=log, prune=Halving())
            run(engine, limit=int(rng.integers(1, 3)), curve=True)
            done = engine.ask()
            if done is None:
                break
            engine.report(done.number, 1, {"error": 0.0})  # and then the power fails
    else:
        pytest.fail("it never ended")
    state = read_state(read_events(path))
    assert keys([r.config for r in state.records]) == expected


def test_interrupted_trials_come_first_with_the_same_config_and_seed(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    with EventLog(path) as log:
        engine = toy(10, log=log, seed=7)
        asks = [next_ask(engine) for _ in range(3)]
        engine.tell(asks[1].number, Result("COMPLETE", {"error": 0.3}))
        engine.report(asks[0].number, 1, {"error": 0.9})
    with EventLog(path) as log:
        engine = toy(10, log=log, seed=7)
        assert engine.state.records[0].reports == [], "what an interrupted trial reported is void"
        again = [next_ask(engine), next_ask(engine)]
        assert [(a.number, a.config, a.seed, a.again) for a in again] == [
            (asks[k].number, asks[k].config, 7, True) for k in (0, 2)
        ]
        fresh = next_ask(engine)
        assert (fresh.number, fresh.again) == (3, False)
        assert engine.report(0, 1, {"error": 0.9}) == "continue"


def test_a_log_of_another_study_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    with EventLog(path) as log:
        run(toy(3, log=log))
    for other, name in (
        ({"seed": 1}, "seed = 0"),
        ({"sampler": "random"}, "sampler = 'auto'"),
        ({"constraints": ("error <= 1",)}, "constraints"),
    ):
        with EventLog(path) as log, pytest.raises(StudyError, match=name):
            toy(3, log=log, **other)
    with EventLog(path) as log, pytest.raises(StudyError, match="digest"):
        toy(3, log=log, space=small_space())


def test_the_budget_may_grow_on_resuming(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    with EventLog(path) as log:
        run(toy(5, log=log))
    with EventLog(path) as log:
        assert len(run(toy(8, log=log))) == 3


def test_the_log_is_what_the_contract_says(tmp_path: Path) -> None:
    """Readers of a study rely on these keys."""
    path = tmp_path / "events.jsonl"
    with EventLog(path) as log:
        engine = toy(2, log=log)
        run(engine, curve=True)
    events = [json.loads(line) for line in path.read_text().splitlines()]
    assert events[0]["event"] == "start"
    ask = next(e for e in events if e["event"] == "ask")
    assert {"trial", "config", "source", "seed", "costs", "prediction"} <= ask.keys()
    report = next(e for e in events if e["event"] == "report")
    assert {"trial", "step", "metrics", "decision"} <= report.keys()
    tell = next(e for e in events if e["event"] == "tell")
    assert {"trial", "state", "metrics", "info", "reason", "feasible"} <= tell.keys()


def test_events_of_later_versions_are_passed_over() -> None:
    engine = toy(3)
    run(engine)
    events = [*engine.log.events, {"event": "replicate", "trial": 0, "seed": 1}]
    assert len(read_state(events).records) == 3
    with pytest.raises(StudyError, match="do not fit together"):
        read_state([{"event": "tell", "trial": 4, "state": "FAIL", "metrics": {}}])


def test_a_full_disk_loses_one_event_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The result that could not be written can be recorded again once there is room."""

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with EventLog(tmp_path / "events.jsonl") as log:
        engine = toy(4, log=log)
        ask = next_ask(engine)
        monkeypatch.setattr("os.write", full)
        with pytest.raises(AutoregError, match="No space left"):
            engine.tell(ask.number, Result("COMPLETE", {"error": 0.2}))
        with pytest.raises(AutoregError, match="No space left"):
            engine.ask()
        assert engine.summary()["asked"] == engine.summary()["running"] == 1
        monkeypatch.undo()
        assert engine.tell(ask.number, Result("COMPLETE", {"error": 0.2})) == "COMPLETE"
        assert len(run(engine)) == 3
    assert [r.state for r in read_state(read_events(tmp_path / "events.jsonl")).records] == ["COMPLETE"] * 4


def test_trials_that_all_end_alike_do_no_harm() -> None:
    """One error for all, one cost for all: nothing to learn, nothing to divide by."""
    engine = toy(32, costs=lambda c: {"flops": 100.0}, reevaluate=False)
    while (ask := engine.ask()) is not None:
        engine.tell(ask.number, Result("COMPLETE", {"error": 0.5}))
    assert math.isfinite(engine.predictor()["log_score"])
    assert len(engine.front()) == 32


def test_parallel_workers_get_different_recipes() -> None:
    engine = toy(24)
    asks = [engine.ask() for _ in range(8)]
    while any(asks):
        for k, ask in enumerate(asks):
            if ask is not None:
                engine.tell(ask.number, evaluate(engine, ask.number, ask.config, False))
                asks[k] = engine.ask()
    rows = engine.trials()
    assert len(set(keys([r["config"] for r in rows]))) == 24
    assert all(r["state"] == "COMPLETE" for r in rows)


def test_the_history_from_some_trial_on_is_the_end_of_the_whole() -> None:
    engine = toy(30)
    run(engine)
    whole = engine.history()
    for since in (0, 1, 7, 29):
        assert summary.history(engine.problem, engine.state, since) == pytest.approx(whole[since:])
