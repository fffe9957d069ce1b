"""The posterior of recipes over seeds, how noise is divided, and probabilities of the front: against closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import multivariate_normal, norm

from autoreg.engine.surrogate.noise_model import (
    NoiseVariances,
    Runs,
    covariance,
    fit_noise,
    front_probabilities,
    log_likelihood,
    posterior,
)


def some_runs(rng: np.random.Generator) -> tuple[Runs, np.ndarray]:
    """Five recipes, eight runs, three groups."""
    root = rng.standard_normal((5, 5))
    runs = Runs(rng.standard_normal(8), np.array([0, 1, 2, 3, 4, 0, 1, 0]), np.array([0, 0, 0, 1, 1, 2, 2, 0]))
    return runs, root @ root.T / 5


def test_the_posterior_is_that_of_the_joint_gaussian() -> None:
    """By conditioning the joint distribution of recipes, shared noise, own noise and runs, written out in full."""
    rng = np.random.default_rng(0)
    runs, prior = some_runs(rng)
    noise = NoiseVariances(seed_variance=0.5, shared_seed_variance=0.2, lack_of_fit=0.1)
    recipes, shared, own = np.eye(5)[runs.recipe], np.eye(3)[runs.group], np.eye(8)
    sources = np.zeros((5 + 3 + 8,) * 2)
    sources[:5, :5], sources[5:8, 5:8], sources[8:, 8:] = prior + 0.1 * np.eye(5), 0.2 * np.eye(3), 0.3 * np.eye(8)
    to_runs = np.hstack([recipes, shared, own])
    seen = to_runs @ sources @ to_runs.T
    assert covariance(runs, prior, noise) == pytest.approx(seen)
    gain = (sources @ to_runs.T)[:5] @ np.linalg.inv(seen)
    mean, spread = posterior(runs, prior, noise)
    assert mean == pytest.approx(runs.scores.mean() + gain @ (runs.scores - runs.scores.mean()))
    assert spread == pytest.approx(sources[:5, :5] - gain @ (to_runs @ sources)[:, :5])


def test_a_lone_observation_is_shrunk_by_noise_over_variance() -> None:
    """Independent recipes: the textbook weights, with the runs of one recipe averaged."""
    runs = Runs(np.array([1.0, -2.0, 1.0, 3.0, -3.0]), np.array([0, 1, 2, 2, 2]), np.arange(5))
    mean, spread = posterior(
        runs, 4.0 * np.eye(3), NoiseVariances(seed_variance=1.0, shared_seed_variance=0.0, lack_of_fit=0.0)
    )
    assert mean == pytest.approx([1.0 * 4 / 5, -2.0 * 4 / 5, (1 / 3) * 4 / (4 + 1 / 3)])
    assert np.diag(spread) == pytest.approx([4 / 5, 4 / 5, 4 / 13])
    together = Runs(runs.scores, runs.recipe, np.array([0, 1, 2, 2, 2]))
    alike = posterior(
        together, 4.0 * np.eye(3), NoiseVariances(seed_variance=1.0, shared_seed_variance=1.0 - 1e-9, lack_of_fit=0.0)
    )
    assert alike[1][2, 2] == pytest.approx(4 / 5, rel=1e-6), "three runs that share all of their noise count as one"


def test_the_likelihood_is_that_of_a_gaussian() -> None:
    runs, prior = some_runs(np.random.default_rng(1))
    for noise in (NoiseVariances(0.5, 0.2, 0.1), NoiseVariances(1.0, 0.9, 0.0)):
        law = multivariate_normal(np.full(8, runs.scores.mean()), covariance(runs, prior, noise))
        expected = float(law.logpdf(runs.scores)) + 4 * math.log(2 * math.pi)
        assert log_likelihood(runs, prior, noise) == pytest.approx(expected)


def test_re_evaluations_tell_seed_variance_from_lack_of_fit_and_variants_what_is_shared() -> None:
    rng = np.random.default_rng(2)
    recipe, training = np.repeat(np.arange(40), 2), np.repeat(np.arange(10), 4)
    prior = 0.01 * np.eye(40)

    def fitted(seed: float, shared: float, lack_of_fit: float) -> tuple[float, float]:
        group = np.column_stack([2 * training, 2 * training + 1]).reshape(-1)
        of_training = math.sqrt(shared) * rng.standard_normal(20)[group]
        of_run = math.sqrt(seed - shared) * rng.standard_normal(80)
        of_recipe = math.sqrt(lack_of_fit) * rng.standard_normal(40)[recipe]
        return fit_noise(Runs(of_training + of_run + of_recipe, recipe, group), prior, seed + lack_of_fit)

    assert fitted(1.0, 0.0, 0.0)[0] == 1.0
    assert fitted(0.1, 0.0, 0.9)[0] == 0.1
    assert fitted(0.0, 0.0, 1.0)[0] == 0.01
    assert fitted(1.0, 0.0, 0.0) == (1.0, 0.0)
    assert fitted(1.0, 0.9, 0.0) == (1.0, 0.9)


def test_of_two_points_the_dearer_is_on_the_front_with_the_probability_that_it_is_better() -> None:
    for gap, rho in ((0.3, 0.0), (0.3, 0.8), (-0.5, 0.5)):
        spread = np.array([[0.04, rho * 0.06], [rho * 0.06, 0.09]])
        values = np.array([[0.0, 1.0], [0.0, 2.0]])
        got = front_probabilities(values, 0, np.array([gap, 0.0]), spread, seed=0, draws=4096)
        expected = norm.cdf(gap / math.sqrt(0.04 + 0.09 - 2 * rho * 0.06))
        assert got[0] == 1.0
        assert got[1] == pytest.approx(expected, abs=4 * 0.5 / math.sqrt(4096))
        assert got.tolist() == front_probabilities(values, 0, np.array([gap, 0.0]), spread, seed=0, draws=4096).tolist()
    values = np.array([[0.1, 1.0], [0.2, 2.0], [0.05, 3.0]])
    sure = front_probabilities(values, 0, values[:, 0], np.zeros((3, 3)), seed=0)
    assert sure.tolist() == [1.0, 0.0, 1.0]
