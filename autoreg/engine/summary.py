"""Figures of a study: pure functions of what it asks for and of its state."""

from __future__ import annotations

import math
from collections.abc import Mapping

from autoreg.engine.log.records import StudyState
from autoreg.engine.pareto import front
from autoreg.engine.problem import Problem
from autoreg.engine.surrogate import noise_model
from autoreg.engine.surrogate.noise_model import Posterior
from autoreg.lazy import lazy_module

special = lazy_module("scipy.special")


def members(problem: Problem, state: StudyState) -> list[int]:
    """Numbers of the trials on the front: complete, within the constraints, dominated by none; ascending."""
    counted = problem.front_candidates(state)
    if not counted:
        return []
    values = problem.table(counted) * problem.signs
    return sorted(r.number for r, on in zip(counted, front.nondominated(values), strict=True) if on)


def incumbents(problem: Problem, state: StudyState, qualities: Mapping[int, float]) -> dict[int, float]:
    """Quality over seeds of the trials on the front of these, by number; what was observed where it is missing."""
    counted = problem.front_candidates(state)
    if not counted:
        return {}
    column, values = problem.names.index(problem.quality), problem.table(counted)
    values[:, column] = [qualities.get(r.number, v) for r, v in zip(counted, values[:, column], strict=True)]
    on = front.nondominated(values * problem.signs)
    return dict(sorted((r.number, float(v[column])) for r, v, k in zip(counted, values, on, strict=True) if k))


def probabilities(problem: Problem, state: StudyState, posterior: Posterior | None, seed: int) -> dict[int, float]:
    """Probability of recipes near the front that no other dominates them, by the number of their first trial."""
    if posterior is None:
        return {}
    values = problem.table([state.records[n] for n in posterior.trials]) * problem.signs
    column = problem.names.index(problem.quality)
    found = noise_model.front_probabilities(values, column, posterior.mean, posterior.covariance, seed)
    return dict(zip(posterior.trials, found.tolist(), strict=True))


def hypervolume(problem: Problem, state: StudyState) -> float | None:
    """Hypervolume of the front in the unit cube, in [0, 1]; None until the scale is fixed."""
    if state.normalizer is None:
        return None
    return state.normalizer.hypervolume(problem.table(problem.front_candidates(state)))


def history(problem: Problem, state: StudyState, since: int = 0) -> list[float]:
    """Hypervolume after each trial that ended, in that order; empty until the scale is fixed.

    Args:
        problem: The study.
        state: What happened.
        since: How many trials are passed over at the beginning.
    """
    if state.normalizer is None:
        return []
    before = problem.table([r for r in state.ended()[:since] if problem.is_front_candidate(r)])
    before = before[front.nondominated(before * problem.signs)] if len(before) else before
    ended = state.ended()[since:]
    counts = [True] * len(before) + [problem.is_front_candidate(r) for r in ended]
    blank = (math.nan,) * len(problem.names)
    values = [problem.values(r.metrics) if on else None for r, on in zip(ended, counts[len(before) :], strict=True)]
    rows = [*before, *(v or blank for v in values)]
    found: list[float] = front.hypervolume_history(rows, state.normalizer, counts).tolist()
    return found[len(before) :]


def audit(problem: Problem, state: StudyState) -> dict[str, int]:
    """Stops that were not carried out: how many, how many of those trials are complete, how many are on the front."""
    audited = [r for r in state.records if r.audited]
    on_front = set(members(problem, state))
    ended = [r for r in audited if r.state == "COMPLETE"]
    return {"audited": len(audited), "ended": len(ended), "wrong": sum(r.number in on_front for r in ended)}


def wrong_stops(problem: Problem, state: StudyState) -> dict[str, float]:
    """What audits tell of all stops: how many there were, the share that was wrong, and the same at worst.

    A stop is wrong if the trial, finished all the same, is on the front today.

    Returns:
        `stopped`, `wrong` (share of the audited, 0 with none) and `most`, the upper end of its one-sided 90 % interval
        (Clopper and Pearson 1934; 1 with no audit).
    """
    found = audit(problem, state)
    wrong, ended = found["wrong"], found["ended"]
    most = float(special.betaincinv(wrong + 1, ended - wrong, 0.9)) if ended > wrong else 1.0
    stopped = sum(r.state == "PRUNED" for r in state.records)
    return {"stopped": float(stopped), "wrong": wrong / ended if ended else 0.0, "most": most}


def counts(state: StudyState) -> dict[str, int]:
    """How many trials were asked, are done, were stopped, failed, and run."""
    of = {s: sum(r.state == s for r in state.records) for s in ("COMPLETE", "PRUNED", "FAIL", "RUNNING")}
    return {
        "asked": len(state.records),
        "done": of["COMPLETE"],
        "stopped": of["PRUNED"],
        "failed": of["FAIL"],
        "running": of["RUNNING"],
    }
