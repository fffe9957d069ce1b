"""How well the surrogate predicted, in a line."""

from __future__ import annotations

from autoreg.report.data.predictor_scores import PredictorScore
from autoreg.report.text.metrics import plural


def score_phrase(score: PredictorScore) -> str:
    """`40 predictions, Kendall tau 0.61, 88% within the bounds, 20 trusted`; what is not known is left out."""
    parts = [plural(score.count, "prediction")]
    if score.tau is not None:
        parts.append(f"Kendall tau {score.tau:.2f}")
    if score.coverage is not None:
        parts.append(f"{score.coverage:.0%} within the bounds")
    return ", ".join([*parts, f"{score.trusted} trusted" if score.trusted else "none trusted"])
