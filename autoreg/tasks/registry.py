"""Tasks by name, by import path, or as they are."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from autoreg.errors import InputError
from autoreg.tasks.base import Task
from autoreg.tasks.params import check_params, nearest

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


def task_spec(value: Any) -> tuple[Any, dict[str, Any]]:
    """What stands under `task` in a study file as (name or object, parameters).

    Raises:
        InputError: unless it is a name, one name with a mapping of parameters, or an object.
    """
    if not isinstance(value, Mapping):
        return value, {}
    if len(value) != 1:
        raise InputError(
            f"task: found {len(value)} keys ({', '.join(map(str, value))}); expected NAME or {{NAME: {{parameters}}}}"
        )
    name, params = next(iter(value.items()))
    if params is not None and not isinstance(params, Mapping):
        raise InputError(f"task {name}: found {params!r} ({type(params).__name__}); expected a mapping of parameters")
    return name, {str(key): item for key, item in (params or {}).items()}


def load_task(name_or_object: str | Task | Callable[..., Task], params: Mapping[str, Any] | None = None) -> Task:
    """A task by name, by import path, or given as it is.

    Args:
        name_or_object: a name of `task_names()`; `package.module:factory` or `folder/file.py:factory`,
            seen from the current folder too; a `Task`; or a class or function that makes one.
        params: arguments of the factory, checked against its signature; text is read as the annotated type.

    Raises:
        InputError: for an unknown name, an import path that leads nowhere, a wrong parameter, missing data.
    """
    given = dict(params or {})
    if isinstance(name_or_object, Task):
        if given:
            raise InputError(
                f"task {name_or_object.name}: given as an object; it takes no parameters ({', '.join(given)})"
            )
        return name_or_object
    if not isinstance(name_or_object, str):
        if not callable(name_or_object):
            raise InputError(
                f"task: found a {type(name_or_object).__name__}; expected a name, an import path or a Task"
            )
        return _make(
            getattr(name_or_object, "name", getattr(name_or_object, "__name__", "task")), name_or_object, given
        )
    return _make(name_or_object, _find(name_or_object), given)


def _make(name: str, factory: Any, params: dict[str, Any]) -> Task:
    place = f"task {name}"
    if isinstance(factory, Task):
        return load_task(factory, params)
    if not callable(factory):
        raise InputError(
            f"{place}: found a {type(factory).__name__}; expected a subclass of Task or a function that returns one"
        )
    task = factory(**check_params(place, factory, params))
    if not isinstance(task, Task):
        raise InputError(f"{place}: made a {type(task).__name__}; expected an instance of autoreg.tasks.Task")
    if not isinstance(factory, type):  # what a function was given need not show in the task that it makes
        keep = {key: value for key, value in params.items() if key not in task.locations}
        object.__setattr__(task, "_factory", f"{factory.__module__}:{factory.__qualname__} {sorted(keep.items())!r}")
    return task


def _find(name: str) -> Any:
    if name in BUILT_IN:
        return _import(name, BUILT_IN[name])
    if ":" in name:
        return _import(name, name)
    found = _entry_points().get(name)
    if found is None:
        raise InputError(
            f"task: no task {name!r}{nearest(name, task_names())}; "
            "a task of your own is given as package.module:factory"
        )
    return found.load()


def _entry_points() -> dict[str, importlib.metadata.EntryPoint]:
    return {point.name: point for point in importlib.metadata.entry_points(group=ENTRY_POINT_GROUP)}


def _import(name: str, path: str) -> Any:
    where, _, attribute = path.rpartition(":")
    module = _import_file(name, Path(where)) if where.endswith(".py") else _import_module(name, where)
    value: Any = module
    for part in attribute.split("."):
        if not hasattr(value, part):
            known = [key for key in vars(value) if not key.startswith("_")]
            raise InputError(f"task {name}: {where} has no {attribute!r}{nearest(attribute, known)}")
        value = getattr(value, part)
    return value


def _import_module(name: str, where: str) -> ModuleType:
    folder = os.getcwd()
    if folder not in sys.path and "" not in sys.path:  # as `python -m` does, and for what the module imports later
        sys.path.insert(0, folder)
    importlib.invalidate_caches()
    try:
        return importlib.import_module(where)
    except ModuleNotFoundError as error:
        missing = error.name or where
        if where != missing and not where.startswith(f"{missing}."):
            raise InputError(f"task {name}: {where} imports {missing!r}, which is not installed") from error
        raise InputError(f"task {name}: no module {missing!r}, neither installed nor in the current folder") from error
    except (ValueError, TypeError) as error:
        if not all(part.isidentifier() for part in where.split(".")):
            raise InputError(
                f"task {name}: {where!r} is not a module's name; expected package.module:factory"
            ) from error
        raise


def _import_file(name: str, path: Path) -> ModuleType:
    if not path.is_file():
        raise InputError(f"task {name}: no file {str(path)!r}, seen from the current folder")
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
