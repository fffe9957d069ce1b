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
        half_error: half a standard error of a share of wrong answers among the samples of all folds' validation splits,
            at the members' fresh one; None where quality is something else or the splits' size is not known.
    """

    members: int
    observed: float
    posterior: float | None = None
    standard_error: float | None = None
    half_error: float | None = None


def optimism(data: StudyData) -> Optimism | None:
    """Of the members of final.json, whether they stayed on the front or not; None before they are re-evaluated."""
    quality, records = data.main_objective, data.state.records
    sign = 1.0 if data.objectives[quality] == "min" else -1.0
    observed, posterior, variances = [], [], list[float]()
    for member in data.final.members:
        if member.validation is None or quality not in member.validation.mean or member.trial >= len(records):
            continue
        fresh, seen = member.validation.mean[quality], (member.search or records[member.trial].metrics).get(quality)
        if seen is not None:
            observed.append(sign * (fresh - seen))
            variances.append(max(fresh * (1 - fresh), 0.0))
        if member.posterior is not None:
            posterior.append(sign * (fresh - member.posterior))
    if not observed:
        return None
    mean = sum(observed) / len(observed)
    variance = sum((one - mean) ** 2 for one in observed) / (len(observed) - 1) if len(observed) > 1 else None
    error = None if variance is None else math.sqrt(variance / len(observed))
    chosen = sum(posterior) / len(posterior) if posterior else None
    samples = validation_samples(data) if quality == "error" else None
    half = 0.5 * math.sqrt(sum(variances) / len(variances) / samples) if samples else None
    return Optimism(len(observed), mean, chosen, error, half)


def validation_samples(data: StudyData) -> int | None:
    """Samples of the validation splits of all folds together, None where not known."""
    samples = data.config.samples
    return samples["validation"] * samples.get("folds", 1) if "validation" in samples else None
