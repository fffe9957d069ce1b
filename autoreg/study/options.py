"""How a study is run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

DEFAULT_SUBSET_TRIALS = 40  # at a tenth of the data they cost as much as four whole trainings


@dataclass(frozen=True)
class RunOptions:
    """How a study is run; what is searched stands in its `StudySpec`.

    Attributes:
        folder: where the study lives.
        resume: whether a study that is there goes on.
        executor: `local` or `ray`.
        workers: trials at a time.
        address: an existing Ray cluster.
        gpus_per_trial: fraction of a GPU that each trial gets.
        store: folder of finished phases; None for the user's cache.
        cache: whether finished phases are reused.
        storage: Optuna URL of the view; None for a journal file in the folder.
        imports: modules to import first, where methods and tasks of the user's own live.
        params: parameters of the task that override the file's.
        rungs: whether trials are stopped early that are predicted not to reach the front, from compressed copies
            scored while they train. Off by default: trials share their training, so that little is saved, and scoring
            takes time.
        screen: whether the predictor screens proposals.
        warm_start: folders of earlier studies whose order of recipes serves as prior until results contradict it.
        warm_subset: fraction of the training data on which recipes are tried first, to the same end; None for none.
        warm_subset_trials: how many recipes.
    """

    folder: Path
    resume: bool = False
    executor: str = "local"
    workers: int = 1
    address: str | None = None
    gpus_per_trial: float = 0.0
    store: Path | None = None
    cache: bool = True
    storage: str | None = None
    imports: tuple[str, ...] = ()
    params: Mapping[str, Any] = field(default_factory=dict)
    rungs: bool = False
    screen: bool = True
    warm_start: tuple[Path, ...] = ()
    warm_subset: float | None = None
    warm_subset_trials: int = DEFAULT_SUBSET_TRIALS
