"""What trials tell of their uncompressed prefix: taken once, counted until it is a trial, and of use."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from autoreg.engine import Budget, Engine, EventLog, Normalizer
from autoreg.engine.surrogate.auxiliary_points import AuxiliaryPoints
from autoreg.engine.surrogate.fitting import SurrogateFitter
from autoreg.space import digest
from tests.engine.problems import DENSE, OBJECTIVES, build_engine, keys, run, toy_costs, toy_error, toy_space

SCALE = Normalizer.from_dense(OBJECTIVES, DENSE, "error", 0.9)


def plain(config: dict[str, Any]) -> dict[str, Any]:
    """The toy's prefix: nothing removed, 32 bits."""
    return {**config, "amount": 0.0, "bits": 32}


def engine_of(trials: int, **more: Any) -> Engine:
    given: dict[str, Any] = {"costs": toy_costs, "normalizer": SCALE, "budget": Budget(trials=trials)}
    given |= {"identity": digest, "prune": False, "reevaluate": False, "uncompressed": plain}
    return build_engine(toy_space(), OBJECTIVES, quality="error", **(given | more))


def drive(engine: Engine, limit: int = 10_000) -> list[dict[str, Any]]:
    """Every trial tells of its prefix too."""
    return run(engine, limit, uncompressed=lambda config: toy_error(plain(config)))


def some(count: int, seed: int = 0) -> list[dict[str, Any]]:
    """Recipes that remove something."""
    rng = np.random.default_rng(seed)
    return [toy_space().sample(rng) | {"bits": 4} for _ in range(count)]


def test_a_prefix_is_taken_once_and_counts_until_it_is_a_trial() -> None:
    first, other = some(2)
    variant = {**first, "amount": first["amount"] / 2}
    configs = [first, variant, other, plain(first)]
    engine = engine_of(len(configs), starters=[("given", c) for c in configs], uncompressed=None)
    drive(engine)
    points = AuxiliaryPoints(engine.problem, plain)
    for count, record in enumerate(engine.state.records, start=1):
        points.add(record, count)
    found = {count: [digest(p.config) for p, _ in points.at(count)] for count in range(5)}
    mine, theirs = digest(plain(first)), digest(plain(other))
    assert found == {0: [], 1: [mine], 2: [mine], 3: [mine, theirs], 4: [theirs]}  # the fourth trial is the prefix
    (point, row), *_ = points.at(1)
    assert point.value == toy_error(plain(first))
    assert point.costs == toy_costs(plain(first))
    np.testing.assert_array_equal(row, engine.problem.space.encode_many([plain(first)])[0])


def test_what_the_space_does_not_contain_is_left_out() -> None:
    engine = engine_of(3, starters=[("given", c) for c in some(3)])
    drive(engine)
    for mapped in (lambda c: None, lambda c: {**c, "bits": 16}):
        points = AuxiliaryPoints(engine.problem, mapped)
        for count, record in enumerate(engine.state.records, start=1):
            points.add(record, count)
        assert points.at(3) == []


def test_base_models_learn_from_auxiliary_points() -> None:
    """Ten trials at four bits with much removed: only prefixes can tell how good any of them is uncompressed."""
    configs = [c | {"amount": 0.8 + 0.01 * k} for k, c in enumerate(some(10, seed=3))]
    errors = {}
    for name, uncompressed in (("with", plain), ("without", None)):
        engine = engine_of(10, starters=[("given", c) for c in configs])
        drive(engine)
        fitted = SurrogateFitter(engine.problem, uncompressed=uncompressed).fit(engine.state)
        assert fitted is not None
        ensemble = fitted.ensembles["error"]
        rows = np.array([engine.problem.encoded(plain(c)) for c in configs])
        logs = fitted.log_costs([toy_costs(plain(c)) for c in configs])
        mean, _ = ensemble.predict(rows, logs)["gp"]
        truth = ensemble.hyperparameters.warp.forward([toy_error(plain(c)) for c in configs])
        errors[name] = float(np.sqrt(np.mean((mean - truth) ** 2)))
    assert errors["with"] < 0.5 * errors["without"]


def test_killed_and_resumed_equals_never_killed(tmp_path: Path) -> None:
    whole = drive(engine_of(26))
    with EventLog(tmp_path / "events.jsonl") as log:
        before = drive(engine_of(26, log=log), limit=17)
    with EventLog(tmp_path / "events.jsonl") as log:
        after = drive(engine_of(26, log=log))
    assert keys(before + after) == keys(whole)
