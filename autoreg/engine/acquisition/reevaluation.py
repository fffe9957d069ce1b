"""Whether to run a recipe again with another seed, in place of a new one.

What a search hands over is the front of posterior means. One more run moves a recipe's posterior mean; its value is the
hypervolume which that front is expected to gain when it is chosen anew (the knowledge gradient, Frazier et al. 2009, of
one recipe and one run, in closed form since costs are known). A new candidate has the value of its own run, times the
share of the expected improvement of earlier candidates that was realized: the best of many is chosen for what is
expected of it, and brings less. The larger gain per epoch is taken.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from autoreg.engine import summary
from autoreg.engine.acquisition.shared_cost import SharedWorkLedger, evaluation_cost
from autoreg.engine.log.records import Record, StudyState
from autoreg.engine.pareto.ehvi import MAX_CELL_VALUES, NondominatedPartitioning
from autoreg.engine.pareto.front import Floats, contributions, nondominated
from autoreg.engine.problem import Problem
from autoreg.engine.surrogate.ensemble import quality_mixture
from autoreg.engine.surrogate.noise_model import Posterior

MAX_REEVALUATED_SHARE = 0.12
"""Re-evaluations are at most this share of all trials."""
REEVALUATION_PERIOD = 4
"""Only with every so many trials is a re-evaluation considered: the posterior takes longer than a proposal."""
MAX_RUNS = 5
"""A recipe is run no more often than this."""
MAX_FRONT_MEMBERS = 24
"""Front members that are considered, at most: those of largest hypervolume contribution."""

PROBE_TRIALS = (24, 48)
"""After so many complete trials one recipe is run again in any case: without it the variance of a seed cannot be told
from the surrogate's lack of fit."""
REALIZED_WINDOW = 24
"""Latest screened trials over which the realized ratio is taken."""
REALIZED_PRIOR_TRIALS = 4
"""So many trials are taken to have brought what was expected of them before any has ended."""


@dataclass(frozen=True)
class ReEvaluation:
    """A recipe to run again: its first trial, the seed, and the logarithm of the gain per epoch; inf for a probe."""

    record: Record
    seed: int
    log_acquisition: float


def reevaluation_seed(seed: int, run: int) -> int:
    """Seed of the `run`-th further run of any recipe of a study: the same for all, so that they share their training.

    Below 1,000,000, where the seeds of the final measurement begin.
    """
    rng = np.random.default_rng([seed, 0x5EED, run])
    while (drawn := int(rng.integers(1, 1_000_000))) == seed:
        pass
    return drawn


def reevaluation_is_due(state: StudyState) -> bool:
    """Whether a re-evaluation may be asked now."""
    asked = len(state.records)
    return (
        state.normalizer is not None
        and asked % REEVALUATION_PERIOD == 0
        and _count(state) + 1 <= MAX_REEVALUATED_SHARE * (asked + 1)
    )


def best_reevaluation(
    problem: Problem, state: StudyState, posterior: Posterior, seed: int, ledger: SharedWorkLedger | None
) -> ReEvaluation | None:
    """The recipe of which one more run gains most per epoch; None where none may be run again.

    Args:
        problem: The study.
        state: With a scale.
        posterior: Quality over seeds of the recipes near the front.
        seed: The study's seed.
        ledger: Which work has been done; None where all runs cost the same.
    """
    if not reevaluation_is_due(state):
        return None
    runs = _runs(state)
    if ledger is not None:
        ledger.update(state)
    gains = log_knowledge_gradient(problem, state, posterior)
    best: ReEvaluation | None = None
    for number, gain in zip(posterior.trials, gains, strict=True):
        record = state.records[number]
        done = runs.get(number, [])
        if gain == -math.inf or len(done) + 1 >= MAX_RUNS or any(r.state == "RUNNING" for r in done):
            continue
        again = reevaluation_seed(seed, len(done) + 1)
        cost = 1.0 if ledger is None else evaluation_cost(ledger.remaining(record.config, again), ledger.overhead)
        value = float(gain) - math.log(cost)
        if best is None or value > best.log_acquisition:
            best = ReEvaluation(record, again, value)
    probes = sum(len(state.complete()) >= p for p in PROBE_TRIALS)
    return replace(best, log_acquisition=math.inf) if best is not None and _count(state) < probes else best


def realized_ratio(problem: Problem, state: StudyState) -> float:
    """Share, in (0, 1], of the expected hypervolume improvement that the latest screened trials brought."""
    if state.normalizer is None:
        return 1.0
    recent: list[tuple[int, float]] = []  # place among the trials that ended, and expected improvement; latest first
    for place in range(len(state.ended_numbers) - 1, -1, -1):
        prediction = state.records[state.ended_numbers[place]].prediction
        if prediction is not None and prediction.expected_improvement is not None:
            recent.append((place, prediction.expected_improvement))
        if len(recent) == REALIZED_WINDOW:
            break
    if not recent:
        return 1.0
    since = max(recent[-1][0] - 1, 0)  # one more, from which the first of them is a gain
    reached = np.array(summary.history(problem, state, since)) * float(np.prod(state.normalizer.corner))
    gained = np.diff(reached, prepend=reached[0] if since else 0.0)
    expected = sum(g for _, g in recent)
    if expected <= 0:
        return 1.0
    spare = REALIZED_PRIOR_TRIALS * expected / len(recent)
    return min((sum(float(gained[n - since]) for n, _ in recent) + spare) / (expected + spare), 1.0)


def _count(state: StudyState) -> int:
    return sum(r.reevaluation_of is not None for r in state.records)


def _runs(state: StudyState) -> dict[int, list[Record]]:
    found: dict[int, list[Record]] = {}
    for record in state.records:
        if record.reevaluation_of is not None:
            found.setdefault(record.reevaluation_of, []).append(record)
    return found


def log_knowledge_gradient(problem: Problem, state: StudyState, posterior: Posterior) -> Floats:
    """Logarithm [k] of the hypervolume that the posterior front is expected to gain by one more run of each recipe.

    Recipes on the front beyond the `MAX_FRONT_MEMBERS` of largest contribution count -inf.
    """
    assert state.normalizer is not None
    column = problem.names.index(problem.quality)
    sign, axis = float(problem.signs[column]), state.normalizer.axes[column]
    variance = np.diag(posterior.covariance)
    moved = variance / np.sqrt(variance + posterior.seed_variances)
    middles, spreads = quality_mixture(posterior.mean, moved, posterior.warp)
    unit = abs(axis.reference - axis.ideal)
    means, spreads = (middles - sign * axis.ideal) / unit, spreads / unit
    cube = problem.scaled(problem.table([state.records[n] for n in posterior.trials]), state)
    cube[:, column] = np.maximum(means.mean(axis=1), 0.0)
    corner = state.normalizer.corner
    on = nondominated(cube)
    out = np.full(len(cube), -math.inf)
    off = np.flatnonzero(~on)
    places = np.delete(cube, column, axis=1)
    if len(off):
        region = NondominatedPartitioning.of(cube[on], corner, column)
        out[off] = region.log_ehvi(places[off], means[off], spreads[off])
    members = np.flatnonzero(on)
    contributed = contributions(cube[members], corner)
    retained = min(MAX_FRONT_MEMBERS, max(int(MAX_CELL_VALUES / float(len(members) + 2) ** cube.shape[1]), 1))
    for k in members[np.argsort(-contributed, kind="stable")[:retained]]:
        others = np.delete(np.arange(len(cube)), k)
        region = NondominatedPartitioning.of(cube[others], corner, column)
        after = float(np.exp(region.log_ehvi(places[[k]], means[[k]], spreads[[k]])[0]))
        now = float(np.exp(region.log_ehvi(places[[k]], cube[[k], column], np.zeros(1))[0]))
        out[k] = math.log(after - now) if after - now > 1e-15 else -math.inf
    return out
