"""Constraints at known cost and at the end."""

from __future__ import annotations

import pytest

from autoreg.engine.constraints import satisfied, violations
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
