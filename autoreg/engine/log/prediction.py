"""What was predicted for a trial before it ran, as the log keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from autoreg.errors import StudyError
from autoreg.files import is_number

PREDICTION_VERSION = 2
"""Version of the JSON form. 1 was one flat mapping under `predicted`, objectives and bookkeeping side by side."""

_BOOKKEEPING_V1 = ("low", "high", "trials", "trusted", "gain", "experts")
_NAMES_V1 = {"null": "cost_only", "constant": "mean_only"}


@dataclass(frozen=True)
class Prediction:
    """What the surrogate predicted for a config. Objectives stand apart from bookkeeping, whatever they are called.

    Attributes:
        objectives: Predicted median of each objective that is not known in advance, in its own units.
        low: Lower end of the 80 % interval of the quality, in its own units; None where it is not known.
        high: Its upper end.
        trials: Complete trials that the surrogate was fitted to.
        trusted: Whether the surrogate was trusted then.
        warp_trials: Complete trials that the warp of `scores` was fitted to; 0 where there are no scores.
        scores: Mean and standard deviation of the warped quality by base model and baseline.
        expected_improvement: Hypervolume in the unit cube that the config was chosen for; None where it was not chosen
            by the acquisition.
    """

    objectives: Mapping[str, float]
    low: float | None = None
    high: float | None = None
    trials: int = 0
    trusted: bool = False
    warp_trials: int = 0
    scores: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    expected_improvement: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """JSON data, which `from_dict` reads back."""
        return {
            "version": PREDICTION_VERSION,
            "objectives": dict(self.objectives),
            "low": self.low,
            "high": self.high,
            "trials": self.trials,
            "trusted": self.trusted,
            "warp_trials": self.warp_trials,
            "scores": {name: list(pair) for name, pair in self.scores.items()},
            "expected_improvement": self.expected_improvement,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Prediction:
        """Read what `to_dict` returned.

        Raises:
            StudyError: If it is of a later version, or no such data.
        """
        version = data.get("version")
        if version != PREDICTION_VERSION:
            raise StudyError(
                f"a prediction of version {version!r} cannot be read; this version of autoreg reads "
                f"{PREDICTION_VERSION}. Read the study with the autoreg that wrote it, or a later one."
            )
        try:
            return cls(
                {str(name): float(value) for name, value in data["objectives"].items()},
                _optional(data.get("low")),
                _optional(data.get("high")),
                int(data["trials"]),
                bool(data["trusted"]),
                int(data["warp_trials"]),
                {str(name): (float(mean), float(spread)) for name, (mean, spread) in data["scores"].items()},
                _optional(data.get("expected_improvement")),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise StudyError(f"a prediction cannot be read: {str(data)[:120]} ({error!r})") from error

    @classmethod
    def from_version_1(cls, data: Mapping[str, Any]) -> Prediction | None:
        """Convert the flat mapping of older logs; None where it holds no objective.

        An objective that was called like a piece of bookkeeping (`gain`, `low`, ...) was overwritten there: what stands
        under its name is no prediction of it.
        """
        objectives = {n: float(v) for n, v in data.items() if n not in _BOOKKEEPING_V1 and is_number(v)}
        if not objectives:
            return None
        models = data.get("experts")
        models = models if isinstance(models, Mapping) else {}
        scores = models.get("scores")
        return cls(
            objectives,
            _optional(data.get("low")),
            _optional(data.get("high")),
            int(data.get("trials") or 0),
            bool(data.get("trusted")),
            int(models.get("warp") or 0),
            {_NAMES_V1.get(n, str(n)): (float(m), float(s)) for n, (m, s) in scores.items()}
            if isinstance(scores, Mapping)
            else {},
            _optional(data.get("gain")),
        )


def _optional(value: Any) -> float | None:
    return float(value) if is_number(value) else None
