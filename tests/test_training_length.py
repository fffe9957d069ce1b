"""Lengths of trainings: rungs, and where trainings of different lengths meet."""

from __future__ import annotations

from autoreg.training_length import cooldown_start, grid_epochs, rung_epochs, rung_stage


def test_rungs_end_with_the_training_and_thin_out_by_three() -> None:
    assert [rung_epochs({"epochs": epochs}) for epochs in (10, 27, 1, 0)] == [(3, 10), (3, 9, 27), (), ()]


def test_trainings_of_any_length_meet_near_the_end_of_the_shorter() -> None:
    """At no less than two thirds of the epochs before its rate cools down, and at few."""
    for epochs in range(5, 200):
        ends = grid_epochs(cooldown_start(epochs))
        assert cooldown_start(epochs) >= ends[-1] > 2 / 3 * cooldown_start(epochs) - 1
        assert len(ends) <= 2 * epochs.bit_length()
        assert ends == grid_epochs(200)[: len(ends)]


def test_rungs_of_a_constant_rate_lie_where_trainings_meet() -> None:
    for epochs in range(2, 60):
        settings = {"epochs": epochs, "schedule": "constant_cooldown"}
        rungs = rung_epochs(settings)
        assert len(rungs) == len(rung_epochs({"epochs": epochs}))
        assert set(rungs[:-1]) <= set(grid_epochs(cooldown_start(epochs)))
        assert rungs[-1] == epochs


def test_trials_are_compared_in_the_same_stage_of_their_training() -> None:
    def stage(step: int, **training: object) -> str:
        return rung_stage({"training": training}, step)

    assert stage(3, epochs=10) != stage(3, epochs=9), "half a cosine of another length"
    constant = {"schedule": "constant_cooldown"}
    assert stage(8, epochs=10, **constant) == stage(8, epochs=40, **constant)
    assert stage(8, epochs=8, **constant) != stage(8, epochs=40, **constant), "one of them has cooled down"
    assert stage(8, epochs=40, **constant) != stage(8, epochs=40)
