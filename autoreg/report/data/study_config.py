"""What study.json says: the task, the space, objectives, budget and machine of a study."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from autoreg.engine.log.events import with_safe_text
from autoreg.errors import InputError
from autoreg.files import parse_json
from autoreg.report.data.json_values import as_number, json_object, numbers
from autoreg.report.data.trial_table import COST_COLUMNS, RESERVED_COLUMNS


@dataclass(frozen=True)
class TableErrors:
    """Relative errors of this machine's latency table when it was built.

    Attributes:
        median: of |predicted - measured| / measured over recipes that nothing was fitted to.
        p90: their 90th percentile.
        recipes: how many, None where not known.
        entries: layer times in the table, None where not known.
    """

    median: float
    p90: float
    recipes: int | None = None
    entries: int | None = None

    @classmethod
    def from_json(cls, value: Any) -> TableErrors | None:
        """Read `latency_table`; None where it holds no errors."""
        row = json_object(value)
        median, p90 = as_number(row.get("error_median")), as_number(row.get("error_p90"))
        recipes, entries = as_number(row.get("recipes")), as_number(row.get("entries"))
        if median is None or p90 is None:
            return None
        return cls(median, p90, None if recipes is None else int(recipes), None if entries is None else int(entries))


@dataclass(frozen=True)
class StudyConfig:
    """study.json.

    Attributes:
        content: the whole file.
        name: of the study.
        objectives: their directions, `min` or `max`, by name.
        quality: the objectives that are no costs, the one that the surrogate predicts first.
        constraints: comparisons as text.
        dense: metrics of the dense recipe.
        chance: the quality of guessing, None where not known.
        samples: `validation` and `test`, how many samples the first fold has of them, and `folds`, how many there are;
            empty or in part where not known.
        normalizer: the scale of hypervolume, empty where the study fixed none.
        epochs_before: epochs that were run for the dense reference, before the search.
        table_errors: of the latency table, None where none was used.
    """

    content: Mapping[str, Any]
    name: str
    objectives: Mapping[str, str]
    quality: tuple[str, ...] = ()
    constraints: tuple[str, ...] = ()
    dense: Mapping[str, float] = field(default_factory=dict)
    chance: float | None = None
    samples: Mapping[str, int] = field(default_factory=dict)
    normalizer: Mapping[str, Any] = field(default_factory=dict)
    epochs_before: float = 0.0
    table_errors: TableErrors | None = None

    @classmethod
    def from_json(cls, content: Mapping[str, Any], folder: Path) -> StudyConfig:
        """Read the content of study.json.

        Raises:
            InputError: when it names no objectives, or one with a direction or a name that is not allowed.
        """
        objectives = _objectives(content)
        names = [name for name in objectives if name not in COST_COLUMNS]
        constraints = content.get("constraints")
        return cls(
            content=content,
            name=str(content.get("name") or folder.name),
            objectives=objectives,
            quality=tuple(sorted(names, key=lambda name: name != content.get("quality"))),
            constraints=tuple(map(str, constraints)) if isinstance(constraints, list) else (),
            dense=numbers(content.get("dense")),
            chance=as_number(content.get("chance")),
            samples={name: int(count) for name, count in numbers(content.get("samples")).items()},
            normalizer=json_object(content.get("normalizer")),
            epochs_before=_epochs_before(json_object(content.get("prepared"))),
            table_errors=TableErrors.from_json(content.get("latency_table")),
        )


def _epochs_before(prepared: Mapping[str, Any]) -> float:
    epochs = as_number(prepared.get("epochs_run"))
    if epochs is None:
        epochs = as_number(prepared.get("epochs_paid"))  # its name in older studies
    return epochs or 0.0


def _objectives(content: Mapping[str, Any]) -> dict[str, str]:
    objectives = content.get("objectives")
    if not isinstance(objectives, Mapping) or not objectives:
        raise InputError(f"study.json: objectives: found {objectives!r}; needed is {{name: min or max, ...}}")
    for name, direction in objectives.items():
        if name in RESERVED_COLUMNS:
            raise InputError(f"study.json: objectives.{name}: a column of every trial has that name; choose another")
        if direction not in ("min", "max"):
            raise InputError(f"study.json: objectives.{name}: found {direction!r}; allowed are min and max")
    return {str(k): str(v) for k, v in objectives.items()}


def read_json_object(path: Path, *, required: bool) -> dict[str, Any]:
    """The content of a JSON file of a study, its texts such that they can be encoded; empty where it is missing.

    Raises:
        InputError: when a required file is missing, or the file holds no JSON object.
    """
    if not path.exists():
        if not required:
            return {}
        raise InputError(
            f"{path.parent}: no study here ({path.name} is missing); give the folder that `autoreg run` wrote"
        )
    try:
        value = parse_json(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path}: not JSON ({error})") from None
    if not isinstance(value, dict):
        raise InputError(f"{path}: found a {type(value).__name__}; it must be one JSON object")
    found: dict[str, Any] = with_safe_text(value)
    return found
