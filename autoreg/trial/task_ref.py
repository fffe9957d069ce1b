"""How a worker finds the task of a study."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autoreg.errors import InputError
from autoreg.tasks import Task, load_task


@dataclass(frozen=True)
class TaskRef:
    """How a worker finds the task: by name and parameters, after importing the user's modules.

    Attributes:
        name: a task's name, an import path, or the task itself.
        params: what its factory is given.
        imports: modules that the user named.
        study_folder: the folder of the study file that names the task, absolute; None when the user named it. A study
            may name only what lies beside it, what is installed as a task, and `imports`.
    """

    name: Any
    params: Mapping[str, Any]
    imports: tuple[str, ...] = ()
    study_folder: str | None = None

    @classmethod
    def recorded(cls, study: Mapping[str, Any]) -> TaskRef:
        """The task that a study.json names; when its study file is gone, files are seen from the current folder."""
        task, folder = study["task"], study.get("study_folder")
        if folder is not None and not Path(folder).is_dir():
            folder = os.getcwd()
        return cls(task["name"], task["params"], tuple(study.get("imports", ())), folder)

    def load(self) -> Task:
        """Import what is to be imported and build the task.

        Raises:
            InputError: a module cannot be imported, or the task cannot be built.
        """
        import_modules(self.imports)
        folder = None if self.study_folder is None else Path(self.study_folder)
        return load_task(self.name, dict(self.params), study_folder=folder, imports=self.imports)


def import_modules(names: Sequence[str]) -> None:
    """Import modules of the user's own, seen from the working folder too.

    Raises:
        InputError: one of them cannot be imported.
    """
    if names and os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    for name in names:
        try:
            importlib.import_module(name)
        except Exception as error:  # whatever goes wrong in it is the user's to mend
            raise InputError(f"--import {name}: cannot be imported ({type(error).__name__}: {error})") from error
