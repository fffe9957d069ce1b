"""Fronts, ranks and hypervolumes against answers by hand, by brute force and by counting points."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from autoreg.engine.pareto import front
from autoreg.engine.pareto.front import Axis, Normalizer
from autoreg.errors import InputError

STAIRS = np.array([[1.0, 4.0], [2.0, 2.0], [4.0, 1.0], [3.0, 3.0], [2.0, 2.0], [5.0, 5.0]])
POINTS = arrays(float, st.tuples(st.integers(1, 12), st.integers(1, 3)), elements=st.integers(0, 5).map(float))


def test_the_front_of_a_staircase_keeps_twins() -> None:
    assert front.nondominated(STAIRS).tolist() == [True, True, True, False, True, False]
    assert front.ranks(STAIRS).tolist() == [0, 0, 0, 1, 0, 2]


def test_maximizing_is_minimizing_the_negative() -> None:
    values = front.minimized([[0.9, 10.0], [0.8, 5.0], [0.7, 7.0]], ["max", "min"])
    assert front.nondominated(values).tolist() == [True, True, False]


def test_empty_and_single_objective_fronts() -> None:
    assert front.nondominated(np.zeros((0, 2))).tolist() == []
    assert front.nondominated([[2.0], [1.0], [1.0]]).tolist() == [False, True, True]
    assert front.hypervolume(np.zeros((0, 2)), [1, 1]) == 0.0
    assert front.hypervolume([[0.25], [0.5]], [1.0]) == 0.75


def test_points_must_be_finite() -> None:
    with pytest.raises(InputError, match="finite"):
        front.nondominated([[1.0, np.nan]])


@given(POINTS)
@settings(max_examples=60, deadline=None)
def test_the_front_agrees_with_the_definition(points: np.ndarray) -> None:
    """A point is on the front iff no other is nowhere worse and somewhere better."""
    brute = [not any(np.all(q <= p) and np.any(q < p) for q in points) for p in points]
    assert front.nondominated(points).tolist() == brute
    level = front.ranks(points)
    for p, r in zip(points, level, strict=True):
        above = [level[k] for k, q in enumerate(points) if np.all(q <= p) and np.any(q < p)]
        assert r == (max(above) + 1 if above else 0)


def test_hypervolume_of_a_staircase_by_hand() -> None:
    """Below (5, 5): 4×1 from (1, 4), then 3×2 from (2, 2), then 1×1 from (4, 1)."""
    assert front.hypervolume(STAIRS, [5.0, 5.0]) == pytest.approx(4 * 1 + 3 * 2 + 1 * 1)


def test_contributions_by_hand_and_none_for_twins() -> None:
    """Alone, (1, 4) covers a 1×1 square, (2, 2) a 2×2 square, (4, 1) a 1×1 square."""
    single = STAIRS[[0, 1, 2, 3]]
    assert front.contributions(single, [5.0, 5.0]) == pytest.approx([1.0, 4.0, 1.0, 0.0])
    assert front.contributions(STAIRS, [5.0, 5.0]) == pytest.approx([1.0, 0.0, 1.0, 0.0, 0.0, 0.0])


def test_improvements_are_differences_of_hypervolumes() -> None:
    base = STAIRS[[0, 1, 2]]
    candidates = np.array([[1.0, 1.0], [3.0, 3.0], [2.0, 2.0], [0.5, 4.5], [6.0, 0.5]])
    whole = front.hypervolume(base, [5, 5])
    expected = [front.hypervolume(np.vstack([base, c]), [5, 5]) - whole for c in candidates]
    assert front.improvements(candidates, base, [5.0, 5.0]) == pytest.approx(expected)
    assert expected == pytest.approx([16 - 11, 0, 0, 0.5 * 0.5, 0])
    assert front.improvements([[0.5, 0.5]], np.zeros((0, 2)), [1.0, 1.0]) == pytest.approx([0.25])


def test_hypervolume_in_three_dimensions_counts_points() -> None:
    rng = np.random.default_rng(1)
    points = rng.random((12, 3))
    sample = rng.random((200_000, 3))
    covered = np.zeros(len(sample), dtype=bool)
    for p in points:
        covered |= np.all(sample >= p, axis=1)
    assert front.hypervolume(points, [1, 1, 1]) == pytest.approx(covered.mean(), abs=4e-3)


def test_order_is_by_rank_and_then_by_contribution() -> None:
    assert front.order(STAIRS[[3, 0, 1, 5]], [5.0, 5.0]).tolist() == [2, 1, 0, 3]


def test_dense_normalization_by_hand() -> None:
    """Half the dense cost on a log scale of three decades, half of chance-level error."""
    scale = Normalizer.from_dense({"error": "min", "flops": "min"}, {"flops": 1000.0}, "error", 0.8)
    point = scale.transform([[0.4, 500.0], [0.8, 1000.0], [0.0, 1.0], [0.9, 2000.0], [0.1, 0.001]])
    half = 1 - np.log10(2) / 3
    assert point[0] == pytest.approx([0.5, half])
    assert point[1] == pytest.approx([1.0, 1.0])
    assert point[2] == pytest.approx([0.0, 0.0])
    assert np.all(point[3] > 1)
    assert point[4, 1] == 0.0
    assert scale.corner.tolist() == [1.0, 1.1]
    assert scale.hypervolume([[0.4, 500.0]]) == pytest.approx(0.5 * (1.1 - half) / 1.1)
    assert scale.hypervolume([[0.9, 500.0], [0.4, 2000.0]]) == 0.0
    assert scale.hypervolume([[0.4, 1000.0]]) == pytest.approx(0.5 * 0.1 / 1.1), "full cost still counts"
    assert scale.hypervolume([[0.0, 1.0]]) == pytest.approx(1.0)
    assert scale.contributions([[0.4, 500.0]]) == pytest.approx([0.5 * (1.1 - half) / 1.1])


def test_normalization_of_objectives_to_maximize() -> None:
    scale = Normalizer.from_dense({"accuracy": "max", "speed": "max"}, {"speed": 10.0}, "accuracy", 0.1)
    point = scale.transform([[0.55, 100.0]])
    assert point[0] == pytest.approx([0.5, 2 / 3])


def test_a_normalizer_survives_json() -> None:
    scale = Normalizer.from_dense({"error": "min", "bytes": "min"}, {"bytes": 4096.0}, "error", 0.9)
    assert Normalizer.from_dict(json.loads(json.dumps(scale.to_dict()))) == scale


def test_a_scale_from_values_holds_them_all_inside() -> None:
    values = np.array([[0.1, 10.0], [0.5, 1000.0], [0.2, 100.0]])
    scale = Normalizer.from_values({"error": "min", "flops": "min"}, values, ["flops"])
    assert [a.log for a in scale.axes] == [False, True]
    assert scale.axes[1].ideal == pytest.approx(10 ** (1 - 0.2))
    assert scale.axes[1].reference == pytest.approx(10 ** (3 + 0.2))
    assert (scale.axes[0].ideal, scale.axes[0].reference) == pytest.approx((0.06, 0.54))
    inside = scale.transform(values)
    assert np.all((inside > 0) & (inside < 1))
    same = Normalizer.from_values({"error": "min"}, [[0.0], [0.0]])
    assert same.axes[0].reference > same.axes[0].ideal


def test_wrong_axes_are_refused() -> None:
    with pytest.raises(InputError, match="must lie below"):
        Axis("error", "min", 0.9, 0.1)
    with pytest.raises(InputError, match="must lie above"):
        Axis("accuracy", "max", 0.1, 0.9)
    with pytest.raises(InputError, match="log scale needs positive"):
        Axis("flops", "min", 0.0, 1.0, log=True)
    with pytest.raises(InputError, match="no positive latency_ms"):
        Normalizer.from_dense({"error": "min", "latency_ms": "min"}, {"flops": 1.0}, "error", 0.9)


def test_history_never_falls_and_ends_at_the_whole() -> None:
    rng = np.random.default_rng(2)
    values = np.column_stack([rng.uniform(0.1, 0.9, 40), rng.uniform(5, 900, 40)])
    scale = Normalizer.from_dense({"error": "min", "flops": "min"}, {"flops": 1000.0}, "error", 0.8)
    counts = rng.random(40) < 0.7
    values[~counts] = np.nan
    history = front.hypervolume_history(values, scale, counts)
    for k in range(40):
        completed = values[: k + 1][counts[: k + 1]]
        assert history[k] == pytest.approx(scale.hypervolume(completed) if len(completed) else 0.0)
