"""Weights of base models, their lead over the baselines, and trust."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import norm

from autoreg.engine.surrogate.weighting import (
    COST_ONLY,
    MEAN_ONLY,
    TRUST_MIN_PREDICTED,
    LogScoreWeights,
    log_score,
    mixture_moments,
    trust,
)


def test_disagreement_adds_to_the_variance() -> None:
    """By hand: means 0 and 2, spreads 1, equal weights: variance 1 + 1."""
    mean, spread = mixture_moments(
        {"a": (np.zeros(1), np.ones(1)), "b": (np.full(1, 2.0), np.ones(1))}, {"a": 0.5, "b": 0.5}
    )
    assert (mean[0], spread[0]) == pytest.approx((1.0, math.sqrt(2)))


def test_who_predicts_better_gains_weight_and_the_lead_is_over_the_better_baseline() -> None:
    rng, log_scores = np.random.default_rng(0), LogScoreWeights()
    for k in range(40):
        truth = rng.normal()
        predictions = {"gp": (truth, 0.3), "ridge": (0.0, 1.0), "cost_only": (-1.0, 1.0), "mean_only": (0.0, 1.0)}
        log_scores.update(predictions, truth + 0.3 * rng.normal(), f"g{k}", 0.0)
    assert log_scores.weights()["gp"] > 0.95
    lead, error, rival = log_scores.lead()
    assert rival == "mean_only"
    assert lead > 5 * error > 0


def test_twins_of_one_group_do_not_make_the_lead_more_certain() -> None:
    """Each trial four times: the error of the lead stays about that of the trials taken once."""
    errors = []
    for copies in (1, 4):
        rng, log_scores = np.random.default_rng(3), LogScoreWeights()
        for k in range(30):
            truth, off = rng.normal(), rng.normal()
            for _ in range(copies):
                predictions = {"gp": (truth + off, 1.0), "cost_only": (0.0, 1.0), "mean_only": (0.0, 1.0)}
                log_scores.update(predictions, truth, f"g{k}", 0.0)
        errors.append(log_scores.lead()[1])
    assert errors[1] == pytest.approx(errors[0], rel=0.1)


def test_the_log_score_is_the_normal_log_density() -> None:
    assert log_score(0.3, 2.0, 1.1) == pytest.approx(norm.logpdf(1.1, 0.3, 2.0))


def test_trust_ends_where_a_baseline_is_clearly_better() -> None:
    assert trust(-3.0, 0.1, COST_ONLY, TRUST_MIN_PREDICTED - 1)[0], "too few trials to tell"
    for rival, words in ((COST_ONLY, "cost alone"), (MEAN_ONLY, "the mean alone")):
        trusted, reason = trust(-0.3, 0.1, rival, 40)
        assert not trusted
        assert reason == f"log-score -0.30 a trial against {words}, over 40 trials predicted in advance: clearly worse"
    assert trust(-0.3, 0.2, COST_ONLY, 40) == (
        True,
        "log-score -0.30 a trial against cost alone, over 40 trials predicted in advance",
    )
    assert trust(-0.04, 0.0, COST_ONLY, 40)[0], "a difference that does not matter"
