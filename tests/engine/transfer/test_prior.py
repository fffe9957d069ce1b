"""Warm start: what earlier studies say is read, helps where it is right, and ends where it is wrong."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import autoreg
from autoreg.engine import Budget, Engine, EventLog, Normalizer
from autoreg.engine.pareto.front import Axis
from autoreg.engine.transfer.earlier_studies import SOURCES_FILE, Source, read_source
from autoreg.engine.transfer.initial_design import DESIGN_SIZE, _spread, propose
from autoreg.engine.transfer.prior import Prior, load_prior, save_prior
from autoreg.errors import InputError, StudyError
from autoreg.space import Expression, Space
from autoreg.space.transfer import shared
from tests.engine.problems import DENSE, OBJECTIVES, build_engine, keys, run, toy_costs, toy_error, toy_space

SCALE = Normalizer((Axis("error", "min", 0.0, 0.6), Axis("flops", "min", 5.0, 3200.0, log=True)))


def other_error(config: dict[str, Any], seed: int) -> float:
    """Another task: other units, another best rate, noise; much the same order."""
    rng = np.random.default_rng([seed, int(1e6 * config["rate"]), config["bits"], int(1e6 * config["amount"])])
    moved = dict(config) | {"rate": min(max(config["rate"] * (0.5 if seed % 2 else 2.0), 1e-4), 1.0)}
    return float(100 * toy_error(moved) ** 2 + 0.5 * rng.standard_normal())


def source(seed: int, count: int = 60, how: str = "right") -> Source:
    space, rng = toy_space(), np.random.default_rng([seed, 1])
    configs = [space.sample(rng) for _ in range(count)]
    quality = [other_error(c, seed) for c in configs]
    if how == "shuffled":
        quality = rng.permutation(quality).tolist()
    if how == "reversed":
        quality = [-q for q in quality]
    return Source.of(space, f"study {seed}", [space.flatten(c) for c in configs], quality)


def engine_of(prior: Prior | None, *, seed: int = 0, trials: int = 30, **more: Any) -> Engine:
    return build_engine(
        toy_space(),
        OBJECTIVES,
        quality="error",
        costs=toy_costs,
        reference={f"dense.{n}": v for n, v in DENSE.items()},
        normalizer=SCALE,
        budget=Budget(trials=trials),
        seed=seed,
        prune=False,
        prior=prior,
        **more,
    )


# -- matching ------------------------------------------------------------------------------------


def test_parameters_match_by_path_and_levels_by_value() -> None:
    space = Space.from_dict(
        {
            "amount": {"uniform": [0.0, 0.5]},
            "rate": {"log": [1e-3, 1e-1]},
            "width": {"int": [2, 8], "step": 2},
            "bits": [4, 8],
            "kind": ["none", {"l1": {"strength": {"log": [1e-6, 1e-1]}}}, {"l2": {"power": [1, 2]}}],
            "new": [1, 2],
        }
    )
    old = {"amount": 0.9, "rate": 0.01, "width": 7.9, "bits": 16, "kind": {"l1": {"strength": 1.0}}, "gone": 3}
    assert shared(space.root, old) == {
        "amount": 0.5,
        "rate": 0.01,
        "width": 8,
        "kind": "l1",
        "kind.l1.strength": 0.1,
    }
    assert shared(space.root, {"bits": 8, "kind": {"l3": {}}, "rate": "fast", "amount": math.nan, "width": True}) == {
        "bits": "8"
    }
    assert shared(space.root, {"kind": {"l2": {"power": 2, "more": 1}}}) == {"kind": "l2", "kind.l2.power": "2"}
    assert shared(space.root, {"gone": 3}) == {}


def test_what_belongs_to_the_space_is_all_shared() -> None:
    space, rng = toy_space(), np.random.default_rng(0)
    for _ in range(30):
        config = space.sample(rng)
        assert shared(space.root, config) == space.flatten(config)


# -- the prior -----------------------------------------------------------------------------------


def test_the_mean_rank_orders_configs_it_has_not_seen() -> None:
    space, rng = toy_space(), np.random.default_rng(5)
    prior = Prior(space, [source(k) for k in range(3)])
    fresh = [space.sample(rng) for _ in range(300)]
    scores = prior.scores(fresh)
    truth = np.array([toy_error(c) for c in fresh])
    assert np.corrcoef(scores.argsort().argsort(), truth.argsort().argsort())[0, 1] > 0.7
    assert abs(float(scores.mean())) < 0.3, "normal scores of ranks among even draws"
    assert 0.5 < float(scores.std()) < 1.2


def test_units_of_the_earlier_error_do_not_matter() -> None:
    """Ranks decide: any rising linear map of a study's error gives the same prior."""
    space = toy_space()
    first = source(0)
    second = Source.of(space, "in other units", first.flats, [1000 * q - 7 for q in first.quality])
    probe = [space.sample(np.random.default_rng(k)) for k in range(20)]
    assert Prior(space, [second]).scores(probe) == pytest.approx(Prior(space, [first]).scores(probe), abs=0.05)


def test_a_study_without_what_the_space_adds_says_the_same_for_all_of_it() -> None:
    space = toy_space()
    blind = source(0)
    flats = [{p: v for p, v in f.items() if p != "bits"} for f in blind.flats]
    prior = Prior(space, [Source.of(space, "without bits", flats, blind.quality)])
    config = space.sample(np.random.default_rng(1))
    assert len(set(prior.scores([config | {"bits": b} for b in (2, 4, 8, 32)]).round(9))) == 1
    assert "4 of 6 parameters" in prior.notices()[0] or "5 of 6 parameters" in prior.notices()[0]


def test_shuffled_labels_are_seen_through_and_the_search_is_as_if_cold() -> None:
    sources = [source(k, how="shuffled") for k in range(3)]
    assert not any(s.predictive for s in sources)
    prior = Prior(toy_space(), sources)
    assert not prior.active
    assert "not used" in prior.notices()[0]
    assert keys(run(engine_of(prior, trials=25))) == keys(run(engine_of(None, trials=25)))


def test_chance_passes_for_knowledge_in_few_of_many_shuffled_studies() -> None:
    assert sum(source(k, 30, "shuffled").predictive for k in range(40)) <= 4
    assert sum(source(k, 30).predictive for k in range(5)) >= 4


# -- the engine ----------------------------------------------------------------------------------


def test_the_first_configs_span_the_costs_and_are_good_at_them() -> None:
    space = toy_space()
    constraints = (Expression.parse("flops <= 0.5 * dense.flops", "test"),)
    engine = engine_of(Prior(space, [source(k) for k in range(3)]), constraints=constraints)
    assert engine.problem.prior is not None
    found = propose(engine.problem.prior, engine.problem)
    assert len(found) == DESIGN_SIZE
    costs = sorted(toy_costs(c)["flops"] for c in found)
    assert costs[-1] <= 0.5 * DENSE["flops"]
    assert costs[-1] > 8 * costs[0]
    rng = np.random.default_rng(0)
    for config in found:  # among even draws that cost no more, few are better
        most = toy_costs(config)["flops"]
        rivals = [toy_error(c) for c in (space.sample(rng) for _ in range(600)) if toy_costs(c)["flops"] <= most]
        assert len(rivals) < 30 or np.mean(np.array(rivals) < toy_error(config)) < 0.1
    asked = [engine.ask() for _ in range(DESIGN_SIZE)]
    assert [a.source for a in asked if a is not None] == ["warm"] * DESIGN_SIZE


def test_a_prior_takes_each_trial_in_once_and_its_first_configs_stay_when_it_is_dropped() -> None:
    """However many readers tell it of the same trials, and whenever the first configs are sought."""
    space, rng = toy_space(), np.random.default_rng(0)
    prior = Prior(space, [source(k, how="reversed") for k in range(2)])
    engine = engine_of(prior)
    first = propose(prior, engine.problem)
    trials = [space.sample(rng) for _ in range(12)]
    once = Prior(space, prior.sources)
    for count, config in enumerate(trials, start=1):
        once.update(count, config, toy_error(config))
    for reader in range(3):
        for count, config in enumerate(trials[: 4 * (reader + 1)], start=1):
            prior.update(count, config, toy_error(config))
    assert prior.to_dict() == once.to_dict()
    assert prior.dropped_at is not None
    assert not prior.active
    assert keys(propose(prior, engine.problem)) == keys(first)


def test_points_are_taken_by_the_area_that_they_add() -> None:
    places = np.array([[0.1, 0.9], [0.5, 0.1], [0.5, 0.2], [0.2, 0.5], [0.9, 0.9]])
    assert _spread(places, 3) == [1, 3, 0]  # areas 0.45; then 0.5 x 0.3; then 0.1 x 0.1
    assert _spread(places, 9) == [1, 3, 0, 2, 4]


def test_a_right_prior_saves_half_of_the_trials() -> None:
    """Until the cold search's hypervolume after 30 trials is reached; over seeds, in the median."""
    shares = []
    for seed in range(3):
        sources = [source(10 * seed + k) for k in range(2)]
        cold, warm = engine_of(None, seed=seed), engine_of(Prior(toy_space(), sources), seed=seed)
        run(cold)
        run(warm)
        target = cold.history()[-1]
        needed = [next((k for k, v in enumerate(e.history(), 1) if v >= target), 80) for e in (cold, warm)]
        shares.append(needed[1] / needed[0])
        assert warm.history()[DESIGN_SIZE - 1] > cold.history()[DESIGN_SIZE - 1]
    assert np.median(shares) <= 0.5


def test_a_misleading_prior_is_dropped_and_said_so() -> None:
    prior = Prior(toy_space(), [source(k, how="reversed") for k in range(3)])
    assert prior.active
    engine = engine_of(prior, trials=24)
    run(engine)
    assert prior.dropped_at is not None
    assert prior.dropped_at <= 20
    found = engine.predictor()["prior"]
    assert found["dropped_at"] == prior.dropped_at
    assert found["correlation"] < 0
    json.dumps(found, allow_nan=False)


@pytest.mark.parametrize("how", ["right", "reversed"])
def test_killed_and_resumed_equals_never_killed(tmp_path: Path, how: str) -> None:
    sources = [source(k, how=how) for k in range(2)]
    path = tmp_path / "events.jsonl"

    def events(log: EventLog) -> list[dict[str, Any]]:
        left_out = ("at", "seconds")
        return [
            {k: v for k, v in e.items() if k not in left_out}
            for e in log.events
            if e["event"] in ("ask", "tell", "report", "scale")
        ]

    with EventLog(path) as log:
        run(engine_of(Prior(toy_space(), sources), trials=20, log=log))
        expected = events(log)
    whole = path.read_bytes()
    ends = np.cumsum([len(line) + 1 for line in whole.split(b"\n")[:-1]])
    for completed in (3, 9, 13):  # in the first configs, before, about and after the check
        path.write_bytes(whole[: int(ends[2 * completed])])
        with EventLog(path) as log:
            run(engine_of(Prior(toy_space(), sources), trials=20, log=log))
            assert events(log) == expected


# -- folders -------------------------------------------------------------------------------------


def objective(config: dict[str, Any], trial: Any) -> dict[str, float]:
    return {"error": toy_error(config)}


def test_a_study_learns_from_a_folder_and_is_resumed_without_it(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    common: dict[str, Any] = {"objectives": OBJECTIVES, "costs": toy_costs}
    autoreg.search(objective, toy_space(), **common, trials=40, sampler="random", storage=first)
    grown = Space.from_dict({**toy_space().to_dict(), "depth": [1, 2]})
    autoreg.search(objective, grown, **common, trials=6, storage=second, warm_start=[first])
    first.rename(tmp_path / "gone")
    study = autoreg.search(objective, grown, **common, trials=12, storage=second, warm_start=[first], resume=True)
    assert [t.source for t in study.engine.trials()[:DESIGN_SIZE]] == ["warm"] * DESIGN_SIZE
    (source,) = study.engine.predictor()["prior"]["sources"]
    assert source["trials"] == 40
    assert source["matched"] == sorted(p.path for p in toy_space().parameters)
    assert study.engine.predictor()["prior"] == autoreg.Study.open(second).engine.predictor()["prior"]
    assert study.engine.predictor()["prior"] == json.loads((second / "posterior.json").read_text())["prior"]
    assert json.loads((second / SOURCES_FILE).read_text())[0]["name"] == str(first)


def test_folders_that_say_nothing_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no study"):
        read_source(tmp_path, toy_space())
    (tmp_path / "study.json").write_text("{}")
    with pytest.raises(InputError, match="cannot be read as a study"):
        read_source(tmp_path, toy_space())
    folder = tmp_path / "study"
    autoreg.search(objective, toy_space(), OBJECTIVES, costs=toy_costs, trials=12, sampler="random", storage=folder)
    assert len(read_source(folder, toy_space()).flats) == 12
    with pytest.raises(InputError, match="0 complete trials that say something of this space; needed are at least 10"):
        read_source(folder, Space.from_dict({"unknown": [1, 2]}))
    with pytest.raises(InputError, match="was begun without one"):
        load_prior(folder, toy_space(), [folder])
    assert load_prior(None, toy_space(), []) is None


def test_what_was_taken_comes_back_from_the_folder(tmp_path: Path) -> None:
    prior = Prior(toy_space(), [source(0), source(1, how="shuffled")])
    save_prior(tmp_path, prior)
    again = load_prior(tmp_path, toy_space(), [])
    assert again is not None
    probe = [toy_space().sample(np.random.default_rng(0))]
    assert again.scores(probe).tolist() == prior.scores(probe).tolist()
    assert again.notices() == prior.notices()
    (tmp_path / SOURCES_FILE).write_text("[1")
    with pytest.raises(StudyError, match="cannot be read"):
        load_prior(tmp_path, toy_space(), [])
