"""Constraints at known cost and at the end."""

from __future__ import annotations

import pytest

from autoreg.engine.constraints import quality_limit, satisfied, violations
from autoreg.space import Expression

DENSE = {"dense.flops": 1000.0}


def rules(*texts: str) -> list[Expression]:
    return [Expression.parse(t, "test") for t in texts]


def test_only_what_is_known_is_judged() -> None:
    both = rules("flops <= 0.5 * dense.flops", "error <= 0.1")
    assert violations(both, {"flops": 600.0}, DENSE) == {both[0].text: pytest.approx(100.0)}
    assert satisfied(both, {"flops": 500.0}, DENSE)
    assert not satisfied(both, {"flops": 500.0, "error": 0.2}, DENSE)
    assert satisfied(both, {}, DENSE)


LIMITS = {
    "error <= 0.2": 0.2,
    "error < 2 * dense.error": 0.06,
    "dense.error + 0.1 >= error": 0.13,
    "flops <= 3": 0.9,  # nothing about quality
    "error * flops <= 3": 0.9,  # nor anything that holds whatever a recipe costs
    "error <= 5": 0.9,
    "error <= -1": 0.9,  # which nothing meets
}


@pytest.mark.parametrize("text", LIMITS)
def test_the_limit_of_quality_is_the_worst_that_constraints_allow(text: str) -> None:
    found = quality_limit([Expression.parse(text)], "error", {"dense.error": 0.03, "dense.flops": 9.0}, 0.0, 0.9)
    assert found == pytest.approx(LIMITS[text], abs=2e-6)


def test_the_tightest_limit_counts_and_an_accuracy_is_limited_from_below() -> None:
    rules = [Expression.parse("accuracy >= 0.8"), Expression.parse("accuracy >= 0.7")]
    assert quality_limit(rules, "accuracy", {}, 1.0, 0.1) == pytest.approx(0.8, abs=2e-6)
