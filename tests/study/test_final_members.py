"""Which trials are measured again: by posterior, the ends of the front among them."""

from __future__ import annotations

import numpy as np
import pytest

import autoreg
from autoreg.engine.engine import Engine
from autoreg.engine.pareto.front import Normalizer
from autoreg.study.final_members import MAX_MEMBERS, choose_members, subset
from tests.engine.problems import OBJECTIVES, toy_costs, toy_space
from tests.report.page.test_front_probabilities import noisy_error


@pytest.fixture(scope="module")
def engine() -> Engine:
    """A finished search with noise in its errors."""
    return autoreg.search(noisy_error, toy_space(), OBJECTIVES, costs=toy_costs, trials=40).engine


def test_the_posterior_front_comes_first_and_then_what_is_probably_on_it(engine: Engine) -> None:
    """Members bring their posterior mean; those that follow have a high probability and no posterior mean."""
    incumbents, probabilities = engine.incumbents(), engine.probabilities()
    chosen = choose_members(engine)
    assert len({one.number for one in chosen}) == len(chosen) <= MAX_MEMBERS
    first = {one.number: one.posterior for one in chosen if one.posterior is not None}
    assert first.items() <= incumbents.items()
    assert len(first) == min(len(incumbents), MAX_MEMBERS)
    rest = [one.number for one in chosen if one.posterior is None]
    left_out = [p for n, p in probabilities.items() if n not in incumbents and n not in rest]
    assert all(probabilities[number] >= max([0.1, *left_out]) for number in rest if left_out) or not rest


def test_what_is_measured_as_a_baseline_is_not_chosen(engine: Engine) -> None:
    """Its place is another's."""
    number = next(iter(engine.incumbents()))
    assert number in {one.number for one in choose_members(engine)}
    assert number not in {one.number for one in choose_members(engine, {number})}


def test_of_a_large_front_both_ends_and_what_covers_most_stay() -> None:
    """A crowd in the middle gives its places to the others: of the four points in a bunch one is taken."""
    points = np.array([[0.1, 0.9], [0.5, 0.5], [0.501, 0.499], [0.502, 0.498], [0.503, 0.497], [0.3, 0.7], [0.9, 0.1]])
    scale = Normalizer.from_values({"error": "min", "flops": "min"}, points)
    chosen = subset(points, points, scale, 4)
    assert {0, 5, 6} <= set(chosen)
    assert len(chosen) == 4
    assert subset(points, points, None, 3) == [0, 1, 6]
