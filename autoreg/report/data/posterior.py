"""The posterior of the surrogate when the search last ended: probabilities to be on the front, and the warm start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from autoreg.files import is_number
from autoreg.report.data.json_values import as_number, json_object, json_objects, numbers


@dataclass(frozen=True)
class EarlierStudy:
    """One earlier study of a warm start.

    Attributes:
        name: its folder.
        trials: complete trials that were read.
        parameters: those that both spaces have.
        correlation: Spearman's, of its held-out trials with what the rest predicts for them; None where not known.
        used: whether it predicts its own trials better than chance, so that the search uses it.
    """

    name: str
    trials: int
    parameters: tuple[str, ...] = ()
    correlation: float | None = None
    used: bool = False

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> EarlierStudy:
        """Read a row of `sources`."""
        matched, trials = row.get("matched"), row.get("trials")
        return cls(
            name=str(row.get("name") or ""),
            trials=int(trials) if is_number(trials) else 0,
            parameters=tuple(map(str, matched)) if isinstance(matched, list) else (),
            correlation=as_number(row.get("correlation")),
            used=bool(row.get("used")),
        )


@dataclass(frozen=True)
class WarmStart:
    """The prior of a warm start, and how it agreed with the trials of this study.

    Attributes:
        studies: the earlier studies; empty for a cold start.
        checked_on: complete trials of this study that it was compared with, None before that.
        correlation: its rank correlation with them, None before that.
        dropped_at: complete trials after which it was dropped, None where it was not.
    """

    studies: tuple[EarlierStudy, ...] = ()
    checked_on: int | None = None
    correlation: float | None = None
    dropped_at: int | None = None

    @classmethod
    def from_json(cls, value: Any) -> WarmStart:
        """Read `prior`; what is missing is None."""
        row = json_object(value)
        checked, dropped = as_number(row.get("checked_trials", row.get("heard"))), as_number(row.get("dropped_at"))
        return cls(
            studies=tuple(EarlierStudy.from_json(source) for source in json_objects(row.get("sources"))),
            checked_on=None if checked is None else int(checked),
            correlation=as_number(row.get("correlation")),
            dropped_at=None if dropped is None else int(dropped),
        )


@dataclass(frozen=True)
class FrontPosterior:
    """posterior.json: the posterior of the surrogate when the search last ended.

    Attributes:
        completed: how many trials had ended by then; None where there is no such file.
        means: posterior mean of the quality by trial, of those on the front of posterior means.
        front_probabilities: by trial, of being on the front with other seeds.
        warm_start: None where the file says nothing of one.
    """

    completed: int | None = None
    means: Mapping[int, float] = field(default_factory=dict)
    front_probabilities: Mapping[int, float] = field(default_factory=dict)
    warm_start: WarmStart | None = None

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> FrontPosterior:
        """Read the content of the file."""
        completed = content.get("ended")
        return cls(
            completed=int(completed) if is_number(completed) else None,
            means=_by_trial(content.get("incumbents")),
            front_probabilities=_by_trial(content.get("probabilities")),
            warm_start=WarmStart.from_json(content["prior"]) if "prior" in content else None,
        )


def _by_trial(values: Any) -> dict[int, float]:
    return {int(number): value for number, value in numbers(values).items() if number.isdigit()}
