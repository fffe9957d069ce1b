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
from autoreg.tasks.locate import lies_beside, may_be_named


@dataclass(frozen=True)
class TaskRef:
    """How a worker finds the task: by name and parameters, after importing the user's modules.

    Attributes:
        name: a task's name, an import path, or the task itself.
        params: what its factory is given.
        imports: modules that the user named.
        study_folder: the folder of the study file that names the task, absolute; None when the user named it. A study
            may name only what lies beside it, what is installed as a task, and `imports`.

    `recorded` makes one of a study.json, which may have come from anywhere: it has always a study folder.
    """

    name: Any
    params: Mapping[str, Any]
    imports: tuple[str, ...] = ()
    study_folder: str | None = None

    @classmethod
    def recorded(cls, study: Mapping[str, Any], opened: Path) -> TaskRef:
        """The task that a study.json names, and the modules that it was made with; nothing is imported here.

        Both must be imported already in this process, or lie where the study file was, if that is a folder around the
        study's or within the current one; they lie in the current folder where that is not known or gone.

        Args:
            study: content of study.json.
            opened: the study's folder, which the user named.

        Raises:
            InputError: it names what it may not.
        """
        task, recorded = study["task"], study.get("study_folder")
        found = (Path(recorded) if isinstance(recorded, str) and Path(recorded).is_dir() else Path.cwd()).resolve()
        usable = _may_hold_tasks(found, opened.resolve())
        # what is imported already needs no more than its name, and gives no right to other modules of its package
        imports = [name for name in map(str, study.get("imports") or ()) if name not in sys.modules]
        for name in imports:
            if not usable or not lies_beside(name, found):
                raise InputError(
                    f"{opened}: its study.json names the module {name!r} for import, which does not lie beside the "
                    f"study; pass --import {name} (or import it first in Python) if you would run it"
                )
        where = str(task["name"]).rpartition(":")[0]
        if where in sys.modules:
            imports.append(where)
        known = _is_imported(found / where) if where.endswith(".py") else may_be_named(where, imports)
        if where and not usable and not known:
            raise InputError(
                f"{opened}: its study.json names the task {task['name']!r} beside a study file in {str(found)!r}, "
                "which is neither within the current folder nor a folder around this study below your home folder; "
                "call this from there if you would run what lies there"
            )
        return cls(task["name"], task["params"], tuple(dict.fromkeys(imports)), str(found))

    def load(self) -> Task:
        """Import what is to be imported and build the task.

        Raises:
            InputError: a module cannot be imported, or the task cannot be built.
        """
        import_modules(self.imports)
        folder = None if self.study_folder is None else Path(self.study_folder)
        return load_task(self.name, dict(self.params), study_folder=folder, imports=self.imports)


def _may_hold_tasks(place: Path, opened: Path) -> bool:
    """Whether a folder that a study.json names may be where its study file was; both are resolved.

    The home folder and those above it hold too much that is not of one study.
    """
    if place.is_relative_to(Path.cwd().resolve()):
        return True
    home = Path(os.path.expanduser("~")).resolve()
    return opened.is_relative_to(place) and not home.is_relative_to(place) and place != Path(place.anchor)


def _is_imported(file: Path) -> bool:
    return getattr(sys.modules.get(file.stem), "__file__", None) == str(file.resolve())


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
