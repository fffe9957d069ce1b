"""How much better members looked when they were chosen than they are with fresh seeds."""

from __future__ import annotations

import math
from dataclasses import dataclass

from autoreg.report.data.load import StudyData


@dataclass(frozen=True)
class Optimism:
    """The mean over re-evaluated members of their quality with fresh seeds less that at choice; above 0: optimistic.

    Attributes:
        members: how many were compared.
        observed: against the quality that the search saw.
        posterior: against the posterior mean by which they were chosen; None where no member has one.
        standard_error: of `observed`, over members; None for one member.
    """

    members: int
    observed: float
    posterior: float | None = None
    standard_error: float | None = None


def optimism(data: StudyData) -> Optimism | None:
    """Of the members of final.json, whether they stayed on the front or not; None before they are re-evaluated."""
    quality, records = data.main_objective, data.state.records
    sign = 1.0 if data.objectives[quality] == "min" else -1.0
    observed, posterior = [], []
    for member in data.final.members:
        if member.validation is None or quality not in member.validation.mean or member.trial >= len(records):
            continue
        fresh, seen = member.validation.mean[quality], (member.search or records[member.trial].metrics).get(quality)
        if seen is not None:
            observed.append(sign * (fresh - seen))
        if member.posterior is not None:
            posterior.append(sign * (fresh - member.posterior))
    if not observed:
        return None
    mean = sum(observed) / len(observed)
    variance = sum((one - mean) ** 2 for one in observed) / (len(observed) - 1) if len(observed) > 1 else None
    error = None if variance is None else math.sqrt(variance / len(observed))
    return Optimism(len(observed), mean, sum(posterior) / len(posterior) if posterior else None, error)
