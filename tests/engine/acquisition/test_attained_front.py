"""What is attained, and the region beyond it: pending predictions, qualities over seeds, by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from autoreg.engine import Normalizer, Problem, StudyState, read_state
from autoreg.engine.acquisition.attained_front import AttainedFront
from autoreg.engine.log.events import Event
from autoreg.engine.log.prediction import Prediction
from autoreg.engine.pareto.front import Axis
from autoreg.engine.surrogate.output_warping import HalfLog
from tests.engine.problems import OBJECTIVES, toy_space

UNIT = Normalizer((Axis("error", "min", 0.0, 1.0), Axis("flops", "min", 0.0, 1.0)))


def problem() -> Problem:
    return Problem(toy_space(), OBJECTIVES, "error")


def state_of(complete: list[tuple[float, float]], pending: tuple[float, float] | None = None) -> StudyState:
    """Complete trials of some error and cost, and one that runs with a predicted error at its known cost."""
    events: list[Event] = [{"event": "start", "normalizer": UNIT.to_dict()}]
    for number, (error, cost) in enumerate([*complete, *([] if pending is None else [pending])]):
        prediction = Prediction({"error": error}).to_dict() if number == len(complete) else None
        about: dict[str, Any] = {"config": {"x": number}, "seed": 0, "costs": {"flops": cost}, "prediction": prediction}
        events.append({"event": "ask", "trial": number, **about})
        if number < len(complete):
            metrics = {"error": error, "flops": cost}
            events.append({"event": "tell", "trial": number, "state": "COMPLETE", "metrics": metrics, "feasible": True})
    return read_state(events)


def gain(front: AttainedFront, error: float, cost: float) -> float:
    """What a candidate whose error is certain would add."""
    assert front.region is not None
    return float(np.exp(front.region.log_ehvi([[cost]], [error], [0.0])[0]))


def test_what_runs_counts_with_its_prediction() -> None:
    """Beyond (0.5, 0.5) a candidate at (0.25, 0.3) adds 0.2 x 0.75 + 0.5 x 0.25; nothing if (0.2, 0.3) is pending."""
    complete = [(0.5, 0.5), (0.6, 0.7)]
    alone = AttainedFront(problem()).update(state_of(complete))
    assert gain(alone, 0.25, 0.3) == pytest.approx(0.2 * 0.75 + 0.5 * 0.25)
    pending = AttainedFront(problem()).update(state_of(complete, (0.2, 0.3)))
    assert gain(pending, 0.25, 0.3) == 0.0
    assert gain(pending, 0.1, 0.3) == pytest.approx(0.7 * 0.1)
    for front in (alone, pending):
        assert [r.number for r in front.members] == [0]
        state = state_of(complete, (0.2, 0.3))
        assert front.could_extend(state, [{"flops": 0.3}]).tolist() == [True], "a prediction bars nothing"


def test_qualities_over_seeds_stand_in_for_what_was_observed() -> None:
    front = AttainedFront(problem(), lambda state: {0: 0.7}).update(state_of([(0.5, 0.5), (0.6, 0.7)]))
    assert [r.number for r in front.members] == [0, 1]
    assert gain(front, 0.65, 0.5) == pytest.approx(0.2 * 0.05)


def test_the_front_follows_the_state_and_is_worked_out_once_for_each() -> None:
    front = AttainedFront(problem())
    first = front.update(state_of([(0.5, 0.5)])).region
    assert front.update(state_of([(0.5, 0.5)])).region is first
    assert front.update(state_of([(0.5, 0.5), (0.4, 0.4)])).region is not first
    assert [r.number for r in front.members] == [1]


def test_the_warped_region_ends_at_the_score_of_the_corner() -> None:
    """Levels are the scores of what is attained and of the corner; a better error has no floor."""
    warp, front, state = HalfLog([0.2, 0.4, 0.6, 0.9]), AttainedFront(problem()), state_of([(0.4, 0.5)])
    region = front.warped(state, warp)
    assert region.levels == pytest.approx(np.sort(warp.forward([0.4, 1.0])))
    assert region.floor == -np.inf
    assert front.warped(state, warp) is region
