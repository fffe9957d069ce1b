"""Expected hypervolume improvement at known cost: against quadrature, Monte Carlo and the certain case."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import logsumexp
from scipy.stats import norm

from autoreg.engine.pareto import front as fronts
from autoreg.engine.pareto.ehvi import NondominatedPartitioning, log_ehvi, log_ei, log_standard_ei
from autoreg.engine.pareto.log_sum import log_sum


def made(count: int, costs: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A front in which cost and quality are traded, and its corner."""
    rng = np.random.default_rng(seed)
    points = rng.random((count, 1 + costs))
    points[:, 0] = np.clip(1.1 - points[:, 1:].mean(axis=1) + rng.normal(0, 0.1, count), 0.02, 0.99)
    return points, np.array([1.0] + [1.1] * costs)


@pytest.mark.parametrize("z", [-3.0, -1.0, -0.999, 0.0, 0.5, 7.0])
def test_shortfall_is_the_textbook_formula(z: float) -> None:
    assert log_standard_ei(z) == pytest.approx(math.log(norm.pdf(z) + z * norm.cdf(z)), rel=1e-12)


def test_shortfall_stays_finite_and_smooth_where_it_underflows() -> None:
    """Known tail: log E ~ -z^2/2 - 2 log|z| - log sqrt(2 pi); plain arithmetic is 0 beyond 38."""
    z = -np.array([40.0, 99.999, 100.001, 1e3, 1e6])
    leading = -0.5 * z**2 - 2 * np.log(-z) - 0.5 * math.log(2 * math.pi)
    assert np.all(np.isfinite(log_standard_ei(z)))
    assert log_standard_ei(z) == pytest.approx(leading, abs=2e-3)
    near = log_standard_ei([-100 + 1e-9, -100 - 1e-9])
    assert near[0] == pytest.approx(near[1], abs=3e-7)
    assert log_standard_ei(-np.inf) == -np.inf
    grid = np.linspace(-150, 10, 4001)
    assert np.all(np.diff(log_standard_ei(grid)) > 0)


def test_expected_shortfall_against_quadrature() -> None:
    for t, m, s in [(0.3, 0.5, 0.2), (0.3, 0.1, 0.05), (0.5, 0.5, 1.0)]:
        value, _ = quad(lambda q, t=t, m=m, s=s: (t - q) * norm.pdf(q, m, s), m - 12 * s, t, points=[m - s])
        assert np.exp(log_ei(t, m, s)) == pytest.approx(value, rel=1e-7)
    assert np.exp(log_ei([0.5, 0.1], 0.3, 0.0)) == pytest.approx([0.2, 0.0])


def test_one_cost_is_widths_times_expected_improvement() -> None:
    """By hand: front (quality .5 at cost .2; quality .3 at cost .6), corner (1, 1.1), candidate at cost .4."""
    seen = [[0.5, 0.2], [0.3, 0.6]]
    got = np.exp(log_ehvi(seen, [1.0, 1.1], [[0.4]], [0.35], [0.1], floor=-np.inf))[0]
    by_hand = 0.2 * np.exp(log_ei(0.5, 0.35, 0.1)) + 0.5 * np.exp(log_ei(0.3, 0.35, 0.1))
    assert got == pytest.approx(by_hand, rel=1e-12)
    cheap = np.exp(log_ehvi(seen, [1.0, 1.1], [[0.1]], [0.9], [0.0]))[0]
    assert cheap == pytest.approx(0.1 * 0.1), "cheaper than all: up to the corner"


@pytest.mark.parametrize("costs", [1, 2, 3])
def test_a_certain_quality_gives_the_plain_improvement(costs: int) -> None:
    points, corner = made(14, costs, seed=costs)
    rng = np.random.default_rng(9)
    candidates = np.column_stack([rng.random(60), rng.random((60, costs)) * 1.2])
    exact = fronts.improvements(candidates, points, corner)
    for spread, close in ((0.0, 1e-12), (1e-7, 1e-6)):
        got = np.exp(log_ehvi(points, corner, candidates[:, 1:], candidates[:, 0], np.full(60, spread)))
        assert got == pytest.approx(exact, abs=close)
    assert (exact > 0).sum() > 10


@pytest.mark.parametrize("costs", [1, 2, 3])
def test_against_monte_carlo(costs: int) -> None:
    points, corner = made(8, costs, seed=3)
    rng = np.random.default_rng(1)
    place, mean, spread = rng.random((4, costs)) * 0.8, np.array([0.2, 0.5, 0.05, 0.8]), np.array([0.1, 0.2, 0.1, 0.05])
    got = np.exp(log_ehvi(points, corner, place, mean, spread))
    for k in range(4):
        levels = mean[k] + spread[k] * norm.ppf((np.arange(1500) + 0.5) / 1500)
        drawn = np.column_stack([np.maximum(levels, 0.0), np.tile(place[k], (1500, 1))])
        assert got[k] == pytest.approx(fronts.improvements(drawn, points, corner).mean(), rel=5e-3, abs=1e-6)


def test_the_quality_may_stand_in_any_column() -> None:
    points, corner = made(10, 2)
    place, mean, spread = np.array([[0.3, 0.4], [0.9, 0.1]]), [0.4, 0.3], [0.1, 0.1]
    first = log_ehvi(points, corner, place, mean, spread)
    moved = log_ehvi(points[:, [1, 0, 2]], corner[[1, 0, 2]], place, mean, spread, quality=1)
    assert moved == pytest.approx(first)


def test_a_mixture_is_the_weighted_mean_of_its_parts() -> None:
    points, corner = made(10, 1)
    place, mean, spread = [[0.3]], np.array([[0.2, 0.6]]), np.array([[0.1, 0.02]])
    parts = [np.exp(log_ehvi(points, corner, place, mean[:, k], spread[:, k]))[0] for k in range(2)]
    mixed = np.exp(log_ehvi(points, corner, place, mean, spread, weights=[0.25, 0.75]))[0]
    assert mixed == pytest.approx(0.25 * parts[0] + 0.75 * parts[1])


def test_order_is_kept_where_the_improvement_underflows() -> None:
    """Two candidates that miss by 50 and 60 standard deviations: the plain value is 0, its logarithm still ranks."""
    points, corner = np.array([[0.01, 0.1]]), np.array([1.0, 1.1])
    got = log_ehvi(points, corner, [[0.2], [0.2]], [0.51, 0.61], [0.01, 0.01], floor=-np.inf)
    assert np.all(np.isfinite(got))
    assert np.all(np.exp(got) == 0)
    assert got[0] > got[1]


def test_an_empty_front_leaves_the_whole_box_and_beyond_the_corner_is_nothing() -> None:
    got = log_ehvi(np.zeros((0, 2)), [1.0, 1.1], [[0.1], [1.1], [2.0]], [0.5, 0.5, 0.5], [0.0, 0.1, 0.1])
    assert np.exp(got) == pytest.approx([0.5, 0.0, 0.0])


def test_better_quality_lower_cost_and_more_uncertainty_never_hurt() -> None:
    points, corner = made(12, 2, seed=5)
    region = NondominatedPartitioning.of(points, corner, floor=-np.inf)
    base = region.log_ehvi([[0.5, 0.5]], [0.4], [0.1])[0]
    assert region.log_ehvi([[0.5, 0.5]], [0.3], [0.1])[0] > base
    assert region.log_ehvi([[0.4, 0.5]], [0.4], [0.1])[0] >= base
    assert region.log_ehvi([[0.5, 0.5]], [0.4], [0.2])[0] > base


def test_without_costs_it_is_plain_expected_improvement() -> None:
    got = log_ehvi([[0.4], [0.3]], [1.0], np.zeros((1, 0)), [0.35], [0.1], floor=-np.inf)
    assert got[0] == pytest.approx(float(log_ei(0.3, 0.35, 0.1)))


def test_a_huge_front_is_rounded_and_close() -> None:
    """With four costs and 60 members the cells would fill the memory: a coarser grid is a little off, and says so."""
    points, corner = made(60, 4, seed=2)
    region = NondominatedPartitioning.of(points, corner)
    rng = np.random.default_rng(0)
    candidates = np.column_stack([np.full(30, 0.2), rng.random((30, 4)) * 0.7])
    exact = fronts.improvements(candidates, points, corner)
    got = np.exp(region.log_ehvi(candidates[:, 1:], candidates[:, 0], np.zeros(30)))
    assert not region.exact
    assert np.corrcoef(exact, got)[0, 1] > 0.99


def test_sums_of_logarithms_are_scipys() -> None:
    logs = np.array([[-1000.0, -1001.0, -np.inf], [3.0, 700.0, 700.0], [-np.inf, -np.inf, -np.inf]])
    assert log_sum(logs) == pytest.approx(logsumexp(logs, axis=1))
    assert log_sum(np.zeros((2, 0))).tolist() == [-np.inf, -np.inf]
