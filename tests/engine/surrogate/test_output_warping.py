"""The warped target: undone, rising, robust."""

from __future__ import annotations

import math

import numpy as np
import pytest

from autoreg.engine.surrogate.output_warping import HalfLog


def test_the_warp_is_undone_and_rises() -> None:
    y = np.random.default_rng(0).lognormal(size=41)
    warp = HalfLog(y)
    assert warp.inverse(warp.forward(y)) == pytest.approx(y)
    assert np.all(np.diff(warp.forward(np.sort(y))) > 0)
    assert warp.forward([np.median(y)])[0] == pytest.approx(0)


def test_the_better_half_is_linear_and_the_worse_logarithmic() -> None:
    """Median 3, better half off by 2, 1 and 0, root mean square sqrt(5 / 3); the worse half has a mean square of 1."""
    warp = HalfLog([1.0, 2.0, 3.0, 4.0, 1e9])
    unit = math.sqrt(5 / 3)
    assert warp.forward([1.0, 3.0]) == pytest.approx([-2 / unit, 0.0])
    assert warp.inverse([-5.0])[0] == pytest.approx(3 - 5 * unit)
    near, far = warp.forward([4.0, 1e9])
    assert far / near == pytest.approx(math.log1p((1e9 - 3) / unit) / math.log1p(1 / unit))
    assert (near**2 + far**2) / 2 == pytest.approx(1)


def test_what_is_worse_than_all_that_was_seen_keeps_its_distance() -> None:
    """A rank would give it the worst score that there was, and small networks would look as good as the smallest."""
    warp = HalfLog([0.02, 0.03, 0.04, 0.09, 0.11])
    assert warp.forward([0.9])[0] > 1.5 * warp.forward([0.11])[0]
    assert warp.inverse(warp.forward([0.9]))[0] == pytest.approx(0.9)
    assert np.isfinite(warp.inverse([1e6])[0])


@pytest.mark.parametrize("values", [[0.5] * 9, [0.1, 0.1, 0.1, 0.1, 0.9], [1.0], [-3.0, -2.0, 0.0], [0.0, 0.0, 1e-300]])
def test_the_warp_takes_ties_and_negative_values(values: list[float]) -> None:
    warp = HalfLog(values)
    assert np.all(np.isfinite(warp.forward(values)))
    assert np.all(np.isfinite(warp.inverse(np.linspace(-5, 5, 11))))
