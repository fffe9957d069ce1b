"""Where the noise of a score is large: held-out predictions against refits, slopes against those of the data."""

from __future__ import annotations

import numpy as np
import pytest

from autoreg.engine.surrogate.heteroscedasticity import MAX_LOG_FACTOR, factors, features, fit_slopes, leave_one_out


def kernel(rng: np.random.Generator, count: int) -> np.ndarray:
    places = rng.uniform(size=(count, 2))
    return np.asarray(np.exp(-((places[:, None] - places[None, :]) ** 2).sum(axis=2) / 0.5))


def test_a_score_left_out_is_predicted_as_without_it() -> None:
    rng = np.random.default_rng(0)
    prior, scores = kernel(rng, 7), rng.standard_normal(7)
    mean, variance = leave_one_out(prior, 0.3, scores)
    for k in range(7):
        others = np.delete(np.arange(7), k)
        gain = prior[k, others] @ np.linalg.inv(prior[np.ix_(others, others)] + 0.3 * np.eye(6))
        assert mean[k] == pytest.approx(gain @ scores[others])
        assert variance[k] == pytest.approx(prior[k, k] + 0.3 - gain @ prior[others, k])


def test_recipes_have_the_mean_prediction_of_their_runs() -> None:
    table = features(np.array([0.0, 2.0, 4.0]), np.array([1.0, 3.0]), np.array([0, 0, 1]))
    assert table == pytest.approx(np.array([[-1.0, -1.0], [1.0, 1.0]]))
    assert features(np.zeros(2), np.zeros(2), np.array([0, 1])) == pytest.approx(0.0), "nothing to tell them apart by"


@pytest.mark.parametrize("slopes", [(1.2, 0.0), (0.0, -0.8), (0.8, -0.8)])
def test_slopes_are_found_in_what_was_seen(slopes: tuple[float, float]) -> None:
    """With 4,000 scores the prior counts for little; the signal's variance is as large as the noise's."""
    rng = np.random.default_rng(1)
    table = rng.standard_normal((4000, 2))
    noise = 0.1 * factors(table, np.array(slopes))
    scores = rng.standard_normal(4000) * np.sqrt(0.1 + noise)
    found = fit_slopes(np.zeros(4000), np.full(4000, 0.2), scores, 0.1, table)
    assert found == pytest.approx(slopes, abs=0.15)


def test_a_factor_has_bounds() -> None:
    bounds = factors(np.array([[100.0, 0.0], [-100.0, 0.0]]), np.array([1.0, 0.0]))
    assert np.log(bounds) == pytest.approx([MAX_LOG_FACTOR, -MAX_LOG_FACTOR])
