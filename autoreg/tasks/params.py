"""Parameters of a task by name and text, checked against the constructor's annotations."""

from __future__ import annotations

import difflib
import inspect
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from autoreg.errors import InputError

_WORDS = {"true": True, "false": False, "on": True, "off": False, "yes": True, "no": False}
_SEQUENCES = (list, tuple, Sequence)


def suggestion(word: object, allowed: Iterable[object]) -> str:
    """The end of a message: the nearest allowed name if one is near, and the list of all."""
    names = [str(name) for name in allowed]
    close = difflib.get_close_matches(str(word), names, n=1, cutoff=0.5)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    return f"{hint} (known: {', '.join(names) or 'none'})"


def check_params(place: str, factory: Callable[..., Any], params: Mapping[str, Any]) -> dict[str, Any]:
    """Check names and types of `params` against the signature of a class or function.

    Text, as a command line gives it, is read as the annotated type: "400" as int, "a,b" as a
    tuple of strings. Parameters without annotation are taken as they are.

    Returns:
        The values to call `factory` with.

    Raises:
        InputError: for an unknown name, a value of the wrong type, or a missing parameter.
    """
    signature = _signature(factory)
    hints = _hints(factory)
    named = {k: p for k, p in signature.items() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    free = any(p.kind is p.VAR_KEYWORD for p in signature.values())
    values: dict[str, Any] = {}
    for key, value in params.items():
        if key not in named and not free:
            raise InputError(f"{place}: no parameter {key!r}{suggestion(key, named)}")
        values[key] = convert(f"{place}: parameter {key}", value, hints.get(key, Any))
    needs = getattr(factory, "needs", {})
    for key, parameter in named.items():
        if key not in values and parameter.default is parameter.empty:
            what = f" ({needs[key]})" if key in needs else ""
            raise InputError(f"{place}: needs parameter {key!r}{what}; give it with -p {key}=...")
    return values


def convert(place: str, value: Any, hint: Any) -> Any:
    """`value` as the annotated type `hint`; whole numbers pass as floats, text is read.

    Raises:
        InputError: if it is of another type.
    """
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return _convert_union(place, value, hint)
    if origin is typing.Literal:
        if value not in arguments:
            raise InputError(f"{place}: found {value!r}{suggestion(value, arguments)}")
        return value
    if origin in _SEQUENCES or hint in (list, tuple):
        return _convert_sequence(place, value, hint)
    if hint is Path and isinstance(value, (str, Path)):
        return Path(value)
    if hint in (int, float, bool, str, type(None)):
        return _convert_scalar(place, value, hint)
    return value


def _convert_scalar(place: str, value: Any, hint: Any) -> Any:
    if hint is type(None):
        if value is None or value in ("none", "null", ""):
            return None
    elif hint is str:
        if isinstance(value, (str, Path)):
            return str(value)
    elif hint is bool:
        if isinstance(value, bool):
            return value
        if isinstance(value, str) and value.lower() in _WORDS:
            return _WORDS[value.lower()]
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        if hint is float or isinstance(value, int):
            return hint(value)
    elif isinstance(value, str):
        try:
            return hint(value)
        except ValueError:
            pass
    raise InputError(f"{place}: found {value!r} ({type(value).__name__}); expected {_say(hint)}")


def _convert_union(place: str, value: Any, hint: Any) -> Any:
    options = sorted(typing.get_args(hint), key=lambda option: option is not type(None))
    exact = [option for option in options if isinstance(option, type) and type(value) is option]
    for option in [*exact, *options]:
        try:
            return convert(place, value, option)
        except InputError:
            continue
    raise InputError(f"{place}: found {value!r} ({type(value).__name__}); expected {_say(hint)}")


def _convert_sequence(place: str, value: Any, hint: Any) -> Any:
    arguments = typing.get_args(hint)
    item = arguments[0] if arguments else Any
    if isinstance(value, str):
        value = [part.strip() for part in value.split(",") if part.strip()]
    if not isinstance(value, (list, tuple)):
        raise InputError(f"{place}: found {value!r} ({type(value).__name__}); expected {_say(hint)}")
    made = [convert(place, part, item) for part in value]
    return made if typing.get_origin(hint) is list or hint is list else tuple(made)


def _say(hint: Any) -> str:
    if isinstance(hint, type) and not typing.get_args(hint):
        return {int: "a whole number", float: "a number", bool: "true or false", str: "text"}.get(hint, hint.__name__)
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return " or ".join("none" if a is type(None) else _say(a) for a in typing.get_args(hint))
    if typing.get_origin(hint) in _SEQUENCES and typing.get_args(hint):
        return f"a list, each {_say(typing.get_args(hint)[0])}"
    return str(hint)


def _signature(factory: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """The parameters that a caller gives; a class is asked for its `__init__`, since `Task.__new__` takes anything."""
    if not inspect.isclass(factory):
        return dict(inspect.signature(factory).parameters)
    if factory.__init__ is object.__init__:
        return {}
    return dict(list(inspect.signature(factory.__init__).parameters.items())[1:])


def _hints(factory: Callable[..., Any]) -> dict[str, Any]:
    function = factory.__init__ if inspect.isclass(factory) else factory
    try:
        return typing.get_type_hints(function)
    except (NameError, TypeError, AttributeError):  # annotations that name what only a type checker imports
        return {}
