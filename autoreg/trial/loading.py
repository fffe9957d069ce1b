"""The model of a trial of a study on disk."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from autoreg.errors import InputError
from autoreg.trial.chain import Chain
from autoreg.trial.objective import TaskObjective
from autoreg.trial.setup import TrialOptions
from autoreg.trial.task_ref import TaskRef

_OPTIONS = ("cache", "device", "threads")  # what study.json says of how its trials ran


def objective_of(folder: Path) -> tuple[TaskObjective, int]:
    """The objective of a task study on disk, and the study's seed.

    Phases are taken from the store, and left there, as the study did: with its device, threads and use of the store.

    Raises:
        InputError: the study has no task, or its device is not here.
    """
    study = json.loads((folder / "study.json").read_text(encoding="utf-8"))
    task = study.get("task")
    if task is None:
        raise InputError(f"{folder}: is the study of a Python objective, which stores no models")
    ref = TaskRef.recorded(study, folder)
    found = study.get("options", {})  # studies of older versions do not say
    options = TrialOptions(
        study["store"], reference_seed=study["seed"], **{n: found[n] for n in _OPTIONS if n in found}
    )
    if options.device.startswith("cuda") and not torch.cuda.is_available():
        raise InputError(
            f"{folder}: its trials ran on {options.device}, but PyTorch finds no GPU here; use a machine that has one"
        )
    return TaskObjective(ref, options, rungs=False), int(study["seed"])


def chain_of(objective: TaskObjective, config: Mapping[str, Any], seed: int) -> Chain:
    """The chain of a recipe on the first fold: phases that the store holds are taken from there."""
    return objective.chain(config, seed=seed, fold=objective.setup.task.folds[0])


def load_model(folder: Path, config: Mapping[str, Any]) -> Any:
    """The model of a recipe in a task study, as its search scored it.

    Phases that the store still holds are taken from there, the others are computed again.

    Args:
        folder: the study's folder.
        config: a complete recipe.

    Returns:
        The model in evaluation mode, re-normalized, masks and quantizers in place.
    """
    objective, seed = objective_of(folder)
    return chain_of(objective, config, seed).run().model
