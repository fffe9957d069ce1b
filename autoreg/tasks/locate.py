"""Where the name of a task leads: a built-in task, an installed one, or a class or function of the user's own.

Importing a module runs it, so that a study file may not name just any module. What it names is looked for beside the
study, among what installed packages declare, and among the modules that the user named with `--import`. What is found
must be a task before it is called: a subclass of `Task`, a `Task`, or a function whose return annotation is one.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import os
import sys
import typing
from collections.abc import Sequence
from pathlib import Path
from types import FunctionType, MethodType, ModuleType
from typing import Any

from autoreg.errors import InputError
from autoreg.tasks.base import Task
from autoreg.tasks.params import suggestion

BUILT_IN = {
    "digits": "autoreg.tasks.digits:DigitsTask",
    "speech": "autoreg.tasks.speech:SpeechTask",
    "tabular": "autoreg.tasks.tabular:TabularTask",
    "char_lm": "autoreg.tasks.char_lm:CharLMTask",
}
ENTRY_POINT_GROUP = "autoreg.tasks"


def task_names() -> tuple[str, ...]:
    """Names of the built-in tasks and of those that installed packages bring."""
    return tuple(dict.fromkeys([*BUILT_IN, *sorted(_entry_points())]))


def find_factory(name: str, study_folder: Path | None = None, imports: Sequence[str] = ()) -> Any:
    """The class, function or task that a name stands for; nothing of it has been called.

    Args:
        name: one of `task_names()`, `package.module:factory` or `folder/file.py:factory`.
        study_folder: the folder of the study file that holds the name: then files and modules of the user's own must
            lie in it. None when a user gave the name, in Python or on the command line: they are seen from the
            current folder then, and any installed module may be named.
        imports: modules that the user named; a study may name them wherever they lie.

    Raises:
        InputError: for a name that leads nowhere, or to a place that a study may not name, or to what is no task.
    """
    if name in BUILT_IN:
        return _attribute(name, BUILT_IN[name], None, ())
    if ":" in name:
        found = _attribute(name, name, study_folder, imports)
        _check_declared(name, found)
        return found
    point = _entry_points().get(name)
    if point is None:
        raise InputError(
            f"task: no task {name!r}{suggestion(name, task_names())}; "
            "a task of your own is given as package.module:factory"
        )
    return point.load()  # an entry point is the declaration: its package was installed as one that brings tasks


def _entry_points() -> dict[str, importlib.metadata.EntryPoint]:
    return {point.name: point for point in importlib.metadata.entry_points(group=ENTRY_POINT_GROUP)}


def _check_declared(name: str, found: Any) -> None:
    """Refuse what does not say that it is a task: calling it could do anything."""
    if isinstance(found, Task) or (isinstance(found, type) and issubclass(found, Task)):
        return
    place, allowed = f"task {name}", "expected a subclass of Task, or a function annotated to return one (-> Task)"
    if not isinstance(found, (FunctionType, MethodType)):
        raise InputError(f"{place}: found a {type(found).__name__}; {allowed}")
    try:
        returned = typing.get_type_hints(found).get("return")
    except (NameError, TypeError, AttributeError) as error:  # annotations that name what only a type checker imports
        raise InputError(f"{place}: its annotations cannot be read ({error}); {allowed}") from error
    if not (isinstance(returned, type) and issubclass(returned, Task)):
        what = "returns nothing that it declares" if returned is None else f"is declared to return {returned!r}"
        raise InputError(f"{place}: this function {what}; {allowed}")


def _attribute(name: str, path: str, study_folder: Path | None, imports: Sequence[str]) -> Any:
    where, _, attribute = path.rpartition(":")
    if where.endswith(".py"):
        module = _import_file(name, Path(where), study_folder)
    else:
        module = _import_module(name, where, study_folder, imports)
    value: Any = module
    for part in attribute.split("."):
        if not hasattr(value, part):
            known = [key for key in vars(value) if not key.startswith("_")]
            raise InputError(f"task {name}: {where} has no {attribute!r}{suggestion(attribute, known)}")
        value = getattr(value, part)
    return value


def _import_module(name: str, where: str, study_folder: Path | None, imports: Sequence[str]) -> ModuleType:
    if not all(part.isidentifier() for part in where.split(".")):
        raise InputError(f"task {name}: {where!r} is not a module's name; expected package.module:factory")
    importlib.invalidate_caches()
    if study_folder is None:
        folder = os.getcwd()
        if folder not in sys.path and "" not in sys.path:  # as `python -m` does, and for what the module imports later
            sys.path.insert(0, folder)
    elif not may_be_named(where, imports) and not lies_beside(where, study_folder):
        raise InputError(
            f"task {name}: the study names the module {where!r}, which does not lie beside it in "
            f"{str(study_folder)!r}; put it there, or name it yourself with --import {where}"
        )
    try:
        return importlib.import_module(where)
    except ModuleNotFoundError as error:
        missing = error.name or where
        if where != missing and not where.startswith(f"{missing}."):
            raise InputError(f"task {name}: {where} imports {missing!r}, which is not installed") from error
        raise InputError(f"task {name}: no module {missing!r}, neither installed nor in the current folder") from error


def may_be_named(where: str, imports: Sequence[str]) -> bool:
    """Whether a study may name a module that does not lie beside it."""
    packages = {"autoreg", *(point.module.split(".")[0] for point in _entry_points().values())}
    return where.split(".")[0] in packages or any(where == own or where.startswith(f"{own}.") for own in imports)


def lies_beside(where: str, study_folder: Path) -> bool:
    """Whether a module lies in the folder of a study, from where it can be imported then. Nothing is imported here.

    The folder goes to the end of the path, so that no file beside a study stands in for a module of another's.
    """
    folder, root = study_folder.resolve(), where.split(".")[0]
    if str(folder) not in sys.path:
        sys.path.append(str(folder))
    try:
        spec = importlib.util.find_spec(root)  # of the topmost package, which is looked up without running it
    except ValueError:  # a module in memory that was never a file, such as __main__, or no name at all
        spec = None
    locations = [] if spec is None else [*(spec.submodule_search_locations or ()), spec.origin or ""]
    return any(location and Path(location).resolve().is_relative_to(folder) for location in locations)


def _import_file(name: str, path: Path, study_folder: Path | None) -> ModuleType:
    if study_folder is None:
        place = "seen from the current folder"
    else:
        place, folder = f"beside the study in {str(study_folder)!r}", study_folder.resolve()
        full = (folder / path).resolve()
        if not full.is_relative_to(folder):
            raise InputError(f"task {name}: a study names files {place}, and {str(path)!r} does not lie there")
        path = full
    if not path.is_file():
        raise InputError(f"task {name}: no file {str(path)!r}, {place}")
    known = sys.modules.get(path.stem)
    if known is not None and getattr(known, "__file__", None) == str(path.resolve()):
        return known
    label = path.stem if known is None else f"autoreg_task_{path.stem}"
    spec = importlib.util.spec_from_file_location(label, path.resolve())
    if spec is None or spec.loader is None:
        raise InputError(f"task {name}: {str(path)!r} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules[label] = module
    spec.loader.exec_module(module)
    return module
