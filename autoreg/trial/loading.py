"""The model of a trial of a study on disk."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from autoreg.errors import InputError
from autoreg.trial.objective import TaskObjective, TaskRef
from autoreg.trial.setup import Options


def load_model(folder: Path, config: Mapping[str, Any]) -> Any:
    """The model of a recipe in a task study, as its search scored it.

    Phases that the store still holds are taken from there, the others are carried out again.

    Args:
        folder: the study's folder.
        config: a complete recipe.

    Returns:
        The model in evaluation mode, re-normalized, masks and quantizers in place.
    """
    study = json.loads((folder / "study.json").read_text(encoding="utf-8"))
    task = study.get("task")
    if task is None:
        raise InputError(f"{folder}: is the study of a Python objective, which keeps no models")
    ref = TaskRef(task["name"], task["params"], tuple(study["imports"]))
    objective = TaskObjective(ref, Options(study["store"], reference_seed=study["seed"]), rungs=False)
    fold = objective.setup.task.folds[0]
    return objective.chain(config, seed=study["seed"], fold=fold).run().model
