"""How well the surrogate predicted trials before they ran."""

from __future__ import annotations

from dataclasses import dataclass

from autoreg.report.data.load import StudyData


@dataclass(frozen=True)
class PredictorScore:
    """Predictions of one metric against what was observed.

    Attributes:
        metric: its name.
        count: predictions that have an observed value.
        tau: Kendall's rank correlation, None where either side does not vary.
        coverage: share of observed values within the predicted bounds, None without bounds.
        trusted: predictions of a surrogate that the search trusted by then.
    """

    metric: str
    count: int
    tau: float | None
    coverage: float | None
    trusted: int


def predictor_scores(data: StudyData) -> list[PredictorScore]:
    """One score for each predicted metric that has observed values."""
    from scipy.stats import kendalltau

    scores = []
    for metric, rows in data.predictions.dropna(subset=["observed"]).groupby("metric", sort=False):
        bounded = rows.dropna(subset=["lower", "upper"])
        inside = (bounded["observed"] >= bounded["lower"]) & (bounded["observed"] <= bounded["upper"])
        varied = len(rows) >= 2 and rows["mean"].nunique() > 1 and rows["observed"].nunique() > 1
        scores.append(
            PredictorScore(
                metric=str(metric),
                count=len(rows),
                tau=float(kendalltau(rows["mean"], rows["observed"]).statistic) if varied else None,
                coverage=float(inside.mean()) if len(bounded) else None,
                trusted=int(rows["trusted"].astype(bool).sum()),
            )
        )
    return scores
