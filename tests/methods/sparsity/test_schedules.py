"""When weights go."""

from __future__ import annotations

import pytest

from autoreg.methods import create


def test_one_shot_is_done_at_once() -> None:
    assert [create("schedule", "one_shot").fraction(p) for p in (0.0, 0.5, 1.0)] == [1.0, 1.0, 1.0]


def test_gradual_is_the_cubic_of_zhu_and_gupta_between_start_and_end() -> None:
    """s_t = s_f · (1 − (1 − t)³): a quarter of the way is 1 − 27/64, half of it 7/8."""
    gradual = create("schedule", "gradual")
    assert (gradual.start, gradual.end) == (0.25, 0.75)
    for progress, fraction in [(0.0, 0.0), (0.25, 0.0), (0.375, 37 / 64), (0.5, 7 / 8), (0.75, 1.0), (1.0, 1.0)]:
        assert gradual.fraction(progress) == pytest.approx(fraction)


def test_gradual_reaches_exactly_one_for_any_start_and_end() -> None:
    gradual = create("schedule", "gradual", {"start": 0.1, "end": 0.9})
    assert gradual.fraction(0.9) == 1.0
    assert gradual.fraction(0.1) == 0.0
