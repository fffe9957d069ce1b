"""The additive program against brute force, a linear relaxation and its stated bound."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from autoreg.errors import InputError
from autoreg.sensitivity.program import Assignment, program, programs

Instance = tuple[list[list[float]], list[list[int]]]


@st.composite
def instances(draw: st.DrawFn, most: int = 40) -> Instance:
    """Up to 5 layers of up to 4 levels."""
    sizes = draw(st.lists(st.integers(1, 4), min_size=1, max_size=5))
    costs = [draw(st.lists(st.integers(0, most), min_size=n, max_size=n)) for n in sizes]
    losses = [draw(st.lists(st.integers(0, 99), min_size=n, max_size=n)) for n in sizes]
    return [[float(v) for v in row] for row in losses], costs


def every(losses: list[list[float]], costs: list[list[int]]) -> list[tuple[int, float]]:
    """Cost and distortion of every assignment."""
    picks = itertools.product(*[range(len(row)) for row in costs])
    return [
        (sum(costs[i][k] for i, k in enumerate(pick)), sum(losses[i][k] for i, k in enumerate(pick))) for pick in picks
    ]


@settings(deadline=None)
@given(instances(), st.integers(0, 160))
def test_within_the_table_the_answer_is_that_of_brute_force(instance: Instance, budget: int) -> None:
    losses, costs = instance
    allowed = [d for c, d in every(losses, costs) if c <= budget]
    if not allowed:
        with pytest.raises(InputError, match="the cheapest assignment costs"):
            program(losses, costs, budget)
        return
    found = program(losses, costs, budget)
    assert found.distortion == min(allowed)
    assert found.cost == sum(row[k] for row, k in zip(costs, found.levels, strict=True)) <= budget


@settings(deadline=None)
@given(instances(most=100_000), st.floats(0, 1), st.integers(20, 60))
def test_with_few_buckets_the_budget_holds_and_so_does_the_stated_bound(
    instance: Instance, share: float, buckets: int
) -> None:
    """No worse than the optimum of a budget that is smaller by one bucket a layer."""
    losses, costs = instance
    least, most = sum(map(min, costs)), sum(map(max, costs))
    budget = least + int(share * (most - least))
    found = program(losses, costs, budget, buckets=buckets)
    assert found.cost <= budget
    smaller = budget - len(costs) * (budget - least) / buckets
    bound = [d for c, d in every(losses, costs) if c <= smaller]
    assert not bound or found.distortion <= min(bound)


@settings(deadline=None)
@given(instances())
def test_the_front_is_every_assignment_that_no_other_beats(instance: Instance) -> None:
    losses, costs = instance
    least: dict[int, float] = {}
    for cost, distortion in sorted(every(losses, costs)):
        if not least or distortion < min(least.values()):
            least[cost] = distortion
    assert {a.cost: a.distortion for a in programs(losses, costs)} == least


def test_the_front_within_few_buckets_is_sorted_and_made_of_real_assignments() -> None:
    rng = np.random.default_rng(0)
    costs = [sorted(rng.integers(0, 10**6, 5).tolist()) for _ in range(12)]
    losses = [sorted(rng.random(5).tolist(), reverse=True) for _ in range(12)]
    found = programs(losses, costs, buckets=200)
    assert found[0].cost == sum(map(min, costs))
    assert found[-1].distortion == pytest.approx(sum(map(min, losses)))
    for one, after in itertools.pairwise(found):
        assert one.cost < after.cost
        assert one.distortion > after.distortion
    for one in found:
        assert one.cost == sum(row[k] for row, k in zip(costs, one.levels, strict=True))


def test_between_the_linear_relaxation_and_its_rounding() -> None:
    """The relaxation bounds the answer from below; the gap is at most one layer's span (two layers are split)."""
    rng = np.random.default_rng(1)
    costs = [(np.arange(8) * int(rng.integers(100, 5000))).tolist() for _ in range(25)]
    losses = [rng.random() * np.exp(-rng.uniform(0.3, 2) * np.arange(8)) for _ in range(25)]
    budget = sum(row[3] for row in costs)
    layers = np.repeat(np.arange(25), 8)
    relaxed = linprog(
        np.concatenate(losses),
        A_ub=np.concatenate(costs)[None],
        b_ub=[budget],
        A_eq=(np.arange(25)[:, None] == layers[None]).astype(float),
        b_eq=np.ones(25),
        bounds=(0, 1),
    )
    found = program(losses, costs, budget)
    assert relaxed.fun - 1e-9 <= found.distortion <= relaxed.fun + max(np.ptp(row) for row in losses)
    assert found.distortion == pytest.approx(relaxed.fun, rel=0.02)


def test_equal_layers_get_equal_levels_and_a_free_budget_takes_the_best() -> None:
    losses, costs = [[3.0, 1.0, 0.0]] * 4, [[2, 4, 8]] * 4
    assert program(losses, costs, 16) == Assignment((1, 1, 1, 1), 16, 4.0)
    assert program(losses, costs, 10**9) == Assignment((2, 2, 2, 2), 32, 0.0)
    assert program(losses, costs, 8) == Assignment((0, 0, 0, 0), 8, 12.0)


def test_wrong_tables_are_refused() -> None:
    with pytest.raises(InputError, match="differ in layers or levels"):
        program([[1.0, 2.0]], [[1]], 3)
    with pytest.raises(InputError, match="no finite number"):
        program([[float("nan")]], [[1]], 3)
