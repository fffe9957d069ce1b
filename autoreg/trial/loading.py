"""The model of a trial of a study on disk."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from autoreg.errors import InputError
from autoreg.trial.chain import Chain
from autoreg.trial.objective import TaskObjective, TaskRef
from autoreg.trial.setup import Options


def objective_of(folder: Path) -> tuple[TaskObjective, int]:
    """The objective of a task study on disk, and the study's seed.

    Raises:
        InputError: the study has no task.
    """
    study = json.loads((folder / "study.json").read_text(encoding="utf-8"))
    task = study.get("task")
    if task is None:
        raise InputError(f"{folder}: is the study of a Python objective, which keeps no models")
    ref = TaskRef(task["name"], task["params"], tuple(study["imports"]))
    options = Options(study["store"], reference_seed=study["seed"])
    return TaskObjective(ref, options, rungs=False), int(study["seed"])


def chain_of(objective: TaskObjective, config: Mapping[str, Any], seed: int) -> Chain:
    """The chain of a recipe on the first fold: phases that the store holds are taken from there."""
    return objective.chain(config, seed=seed, fold=objective.setup.task.folds[0])


def load_model(folder: Path, config: Mapping[str, Any]) -> Any:
    """The model of a recipe in a task study, as its search scored it.

    Phases that the store still holds are taken from there, the others are carried out again.

    Args:
        folder: the study's folder.
        config: a complete recipe.

    Returns:
        The model in evaluation mode, re-normalized, masks and quantizers in place.
    """
    objective, seed = objective_of(folder)
    return chain_of(objective, config, seed).run().model
