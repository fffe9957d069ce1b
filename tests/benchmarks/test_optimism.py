"""The optimism of a front: figures of the simulated problem, which are known."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.optimism import mean_error, of_simulation, one_error, table

NARROW = {"width": 0.3, "bits": 8, "rate": 0.4, "decay": 1e-3, "regularizer": "none"}


def test_the_error_over_seeds_is_the_mean_of_trainings() -> None:
    runs = [one_error(NARROW, seed) for seed in range(4000)]
    assert np.mean(runs) == pytest.approx(mean_error(NARROW), rel=0.03)


def test_a_search_has_figures() -> None:
    one = of_simulation(14, 0)
    assert 1 <= one.members <= 12
    assert 0 < one.hypervolume < 1
    assert len(table([one, one]).splitlines()) == 5
