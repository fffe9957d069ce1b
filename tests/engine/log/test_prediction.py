"""What was predicted for a trial: objectives of any name apart from bookkeeping, and older logs converted."""

from __future__ import annotations

import pytest

from autoreg.engine import Budget, Normalizer, Result, StudyState, read_state
from autoreg.engine.acquisition.attained_front import AttainedFront
from autoreg.engine.log.prediction import Prediction
from autoreg.engine.pareto.front import Axis
from autoreg.errors import StudyError
from tests.engine.problems import build_engine, toy_costs, toy_error, toy_space

WHOLE = Prediction({"gain": 0.9}, 0.8, 0.95, 12, True, 10, {"gp": (0.1, 0.2)}, 0.003)


@pytest.mark.parametrize("name", ["gain", "low", "high", "trials", "trusted", "experts", "objectives", "version"])
def test_an_objective_of_any_name_is_predicted_and_believed_while_it_runs(name: str) -> None:
    scale = Normalizer((Axis(name, "max", 1.0, 0.1), Axis("flops", "min", 1.0, 800.0, log=True)))
    engine = build_engine(
        toy_space(),
        {name: "max", "flops": "min"},
        quality=name,
        costs=toy_costs,
        normalizer=scale,
        budget=Budget(trials=24),
        prune=False,
        reevaluate=False,
    )
    while len(engine.state.records) < 23:
        ask = engine.ask()
        assert ask is not None
        engine.tell(ask.number, Result("COMPLETE", {name: 1 - toy_error(ask.config)}))
    engine.ask()
    held = [r for r in engine.state.records if r.prediction is not None and r.source == "screened"]
    assert len(held) > 5
    for record in held:
        assert record.prediction is not None
        value, low, high = record.prediction.objectives[name], record.prediction.low, record.prediction.high
        assert low is not None
        assert high is not None
        assert low <= value <= high, "the median of its interval, not a piece of bookkeeping"
        assert value > 0.1
    running = engine.state.records[-1]
    assert running.prediction is not None
    front = AttainedFront(engine.problem).update(engine.state)
    row = {**running.costs, **running.prediction.objectives}
    assert front._attained[-1].tolist() == [row[name], row["flops"]], "what runs counts with what was predicted for it"


def test_a_prediction_comes_back_from_its_json_form() -> None:
    assert Prediction.from_dict(WHOLE.to_dict()) == WHOLE
    assert Prediction.from_dict(Prediction({}).to_dict()) == Prediction({})


@pytest.mark.parametrize(
    ("change", "message"),
    [({"version": 3}, "version 3 cannot be read"), ({"scores": 1}, "cannot be read"), ({"trials": "x"}, "cannot be")],
)
def test_a_later_version_or_damage_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(StudyError, match=message):
        Prediction.from_dict(WHOLE.to_dict() | change)


def ask(**more: object) -> StudyState:
    return read_state([{"event": "ask", "trial": 0, "config": {}, "seed": 1, "costs": {}, **more}])


def test_older_logs_are_converted() -> None:
    old = {
        "error": 0.2,
        "low": 0.1,
        "high": 0.3,
        "trials": 9,
        "trusted": True,
        "experts": {"warp": 8, "scores": {"gp": [0.5, 0.1], "null": [0.0, 1.0], "constant": [0.1, 1.0]}},
        "gain": 0.004,
    }
    scores = {"gp": (0.5, 0.1), "cost_only": (0.0, 1.0), "mean_only": (0.1, 1.0)}
    expected = Prediction({"error": 0.2}, 0.1, 0.3, 9, True, 8, scores, 0.004)
    assert ask(predicted=old).records[0].prediction == expected
    assert ask(prediction=expected.to_dict()).records[0].prediction == expected
    assert ask().records[0].prediction is None
    assert ask(predicted={"gain": 0.0, "trials": 9}).records[0].prediction is None, "overwritten: no prediction at all"
