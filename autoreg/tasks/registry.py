"""Tasks by name, by import path, or as they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from autoreg.errors import InputError
from autoreg.tasks.base import Task
from autoreg.tasks.locate import find_factory
from autoreg.tasks.params import check_params


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


def load_task(
    name_or_object: str | Task | Callable[..., Task],
    params: Mapping[str, Any] | None = None,
    *,
    study_folder: Path | None = None,
    imports: Sequence[str] = (),
) -> Task:
    """A task by name, by import path, or given as it is.

    Args:
        name_or_object: a name of `task_names()`; `package.module:factory` or `folder/file.py:factory`; a `Task`; or a
            class or function that makes one. What a name leads to is called only if it is a subclass of `Task`, or a
            function whose return annotation is one.
        params: arguments of the factory, checked against its signature; text is read as the annotated type.
        study_folder: the folder of the study file in which the name stands; see `find_factory`.
        imports: modules that the user named, which a study may name too.

    Raises:
        InputError: for an unknown name, an import path that leads nowhere or to what is no task, a wrong parameter,
            missing data.
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
    return _make(name_or_object, find_factory(name_or_object, study_folder, imports), given)


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
        keyed = {key: value for key, value in params.items() if key not in task.locations}
        object.__setattr__(task, "_factory", f"{factory.__module__}:{factory.__qualname__} {sorted(keyed.items())!r}")
    return task
