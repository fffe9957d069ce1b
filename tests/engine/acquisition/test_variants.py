"""Variants that share a phase: which parameters decide it is found exactly, whatever was looked at before."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from autoreg.engine.acquisition.shared_cost import PhaseCosts, dominant_phase
from autoreg.engine.acquisition.variants import SharedPrefixVariants, other_values
from autoreg.space import Space, digest
from autoreg.space.nodes import Range
from tests.engine.acquisition.test_shared_cost import toy_phase_costs
from tests.engine.problems import toy_space


def test_variants_share_the_phase_and_differ_beyond() -> None:
    space, rng = toy_space(), np.random.default_rng(1)
    variants = SharedPrefixVariants(space, toy_phase_costs)
    for _ in range(5):
        config = space.sample(rng)
        phase = dominant_phase(toy_phase_costs(config))
        assert phase == (0, toy_phase_costs(config)[0][0])
        donors = [space.flatten(space.sample(rng)) for _ in range(6)]
        found = variants.generate(space.flatten(config), donors, phase, 16, rng)
        assert len(found) == 16
        assert {toy_phase_costs(c)[0][0] for c in found} == {phase[1]}
        assert len({digest(c) for c in found}) > 8


def test_every_binary_switch_that_decides_a_phase_is_found() -> None:
    """Forty of eighty: three random values of each would miss one in eight."""
    space = Space.from_dict({f"p{k:02d}": ["off", "on"] for k in range(80)})

    def costs(config: dict[str, Any]) -> PhaseCosts:
        return ((digest({p: config[p] for p in sorted(config)[:40]}), 10.0), (digest(config), 1.0))

    variants = SharedPrefixVariants(space, costs)
    for seed in range(5):
        config = space.sample(np.random.default_rng(seed))
        assert variants.deciding(space.flatten(config), costs(config)[0][0]) == {f"p{k:02d}" for k in range(40)}


def test_what_decides_a_phase_does_not_depend_on_what_was_looked_at_before() -> None:
    """A rate decides the training only where a schedule uses it."""
    space = Space.from_dict({"schedule": ["none", "step"], "rate": {"uniform": [0.0, 1.0]}, "bits": [2, 4]})

    def costs(config: dict[str, Any]) -> PhaseCosts:
        rate = config["rate"] if config["schedule"] == "step" else 0.0
        return ((digest({"schedule": config["schedule"], "rate": rate}), 5.0),)

    configs = [{"schedule": s, "rate": r, "bits": "2"} for s in ("none", "step") for r in (0.0, 0.3, 1.0)]
    expected = [{"schedule"}] * 3 + [{"schedule", "rate"}] * 3
    for order in (range(6), range(5, -1, -1), (3, 0, 4, 1, 5, 2)):
        variants = SharedPrefixVariants(space, costs)
        found = {k: variants.deciding(configs[k], costs(configs[k])[0][0]) for k in order}
        assert [found[k] for k in range(6)] == expected


@pytest.mark.parametrize(
    ("domain", "value", "expected"),
    [
        (("a", "b", "c"), "b", ["a", "c"]),
        (Range("int", 1, 4), 2, [1, 3, 4]),
        (Range("int", 0, 100), 50, [0, 100]),
        (Range("uniform", 0.0, 1.0), 0.25, [0.0, 0.5, 1.0]),
        (Range("uniform", 0.1, 0.4, 0.1), 0.1, [0.2, 0.3, 0.4]),
    ],
)
def test_a_few_values_are_all_tried_and_of_many_the_ends_and_the_middle(domain: Any, value: Any, expected: Any) -> None:
    assert other_values(domain, value) == expected
