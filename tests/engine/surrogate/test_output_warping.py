"""The warped target: undone, rising, robust."""

from __future__ import annotations

import math

import numpy as np
import pytest

from autoreg.engine.surrogate.output_warping import HalfRank


def test_the_warp_is_undone_and_rises() -> None:
    y = np.random.default_rng(0).lognormal(size=41)
    warp = HalfRank(y)
    assert warp.inverse(warp.forward(y)) == pytest.approx(y)
    assert np.all(np.diff(warp.forward(np.sort(y))) > 0)
    assert warp.forward([np.median(y)])[0] == pytest.approx(0)


def test_the_warp_can_go_beyond_the_best_and_not_beyond_the_worst() -> None:
    """Median 3, better half off by 2, 1 and 0, root mean square sqrt(5 / 3); an outlier counts as the worst rank."""
    warp = HalfRank([1.0, 2.0, 3.0, 4.0, 1e9])
    assert warp.forward([1.0, 3.0]) == pytest.approx([-2 / math.sqrt(5 / 3), 0.0])
    assert warp.inverse([-5.0])[0] == pytest.approx(3 - 5 * math.sqrt(5 / 3))
    assert warp.inverse([50.0])[0] == 1e9
    ranks = HalfRank([1.0, 2.0, 3.0, 4.0, 5.0])
    assert warp.forward([1e9])[0] == pytest.approx(ranks.forward([5.0])[0])


@pytest.mark.parametrize("values", [[0.5] * 9, [0.1, 0.1, 0.1, 0.1, 0.9], [1.0], [-3.0, -2.0, 0.0]])
def test_the_warp_takes_ties_and_negative_values(values: list[float]) -> None:
    warp = HalfRank(values)
    assert np.all(np.isfinite(warp.forward(values)))
    assert np.all(np.isfinite(warp.inverse(np.linspace(-5, 5, 11))))
