"""One recipe run outside a search."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from autoreg.engine.log.trial import Trial
from autoreg.errors import InputError, NoTrialError
from autoreg.report.data.load import StudyData
from autoreg.space import load_recipe
from autoreg.tasks.registry import task_spec
from autoreg.trial.objective import TaskObjective
from autoreg.trial.setup import TrialOptions
from autoreg.trial.store import default_store
from autoreg.trial.task_ref import TaskRef


def apply_recipe(
    recipe: str,
    *,
    task: str | None,
    params: Mapping[str, Any],
    imports: tuple[str, ...] = (),
    seed: int | None = None,
    cache: bool = True,
    store: Path | None = None,
) -> dict[str, Any]:
    """Run a recipe on a task.

    Args:
        recipe: a file, or `DIR:N` for the recipe of trial N of the study in DIR.
        task: the task's name; None takes that of the study.
        params: parameters of the task.
        imports: modules that define the user's own methods and tasks.
        seed: of the trial; None for the study's own, or 0.
        cache: whether finished phases are taken from the store.
        store: folder of finished phases; None for the study's own, or the user's cache.

    Returns:
        JSON: `recipe` (complete), `metrics` and costs, `layers`, `epochs_requested`, `epochs_run`, `seconds`, `notes`.

    Raises:
        InputError: recipe or task is wrong; NoTrialError: the study has no such trial.
    """
    content, folder, study = read_recipe(recipe)
    if task is not None:
        name, own = task_spec(task)
        ref = TaskRef(name, {**own, **params}, imports)
    elif folder is not None:
        ref = TaskRef.recorded(study, folder)
        ref = replace(ref, params={**ref.params, **params}, imports=(*ref.imports, *imports))
    else:
        raise InputError(f"{recipe}: a recipe file names no task; add --task NAME")
    at = store or Path(study.get("store") or default_store())
    first = int(study.get("seed", 0))
    objective = TaskObjective(ref, TrialOptions(str(at), cache=cache, reference_seed=first), rungs=False)
    complete = objective.setup.complete(content)
    seed = first if seed is None else seed
    trial = Trial(seed=seed)
    metrics = objective(complete, trial)
    info = trial.info
    return {
        "recipe": complete,
        "task": objective.setup.task.name,
        "seed": seed,
        "metrics": metrics,
        "layers": [layer.to_dict() for layer in info.layers],
        "latency": None if info.latency is None else info.latency.to_dict(),
        "epochs_requested": info.epochs_requested,
        "epochs_run": info.epochs_run,
        "seconds": info.seconds,
        "notes": info.notes,
    }


def read_recipe(where: str) -> tuple[dict[str, Any], Path | None, Mapping[str, Any]]:
    """Read a recipe file, or the recipe of a trial as `DIR:N` with the folder of its study and its study.json."""
    folder, colon, number = where.rpartition(":")
    if colon and number.isdigit() and (Path(folder) / "study.json").exists():
        data = StudyData.load(folder)
        records = data.state.records
        if int(number) >= len(records):
            raise NoTrialError(f"{folder}: has no trial {number}; it has {len(records)}, counted from 0")
        task = data.config.content.get("task")
        if not isinstance(task, Mapping):
            raise InputError(f"{folder}: is the study of a Python objective; its recipes belong to no task")
        return dict(records[int(number)].config), Path(folder), data.config.content
    return load_recipe(Path(where)), None, {}
