"""Code as a part of what a network is: two classes of one name, or two functions, need not compute the same."""

from __future__ import annotations

import functools
import hashlib
import inspect
from types import CodeType
from typing import Any


@functools.cache
def code_digest(kind: type) -> str:
    """Digest of the code of a class and of those that it inherits from, up to torch's own.

    What was compiled counts: classes of one name in one file, and those typed at a prompt, are told apart, and
    comments change nothing.

    Returns:
        16 hexadecimal digits; none for torch's own classes, which their module and name identify.
    """
    digest = hashlib.sha256()
    own = [one for one in kind.__mro__ if one is not object and one.__module__.split(".")[0] not in ("torch", "abc")]
    for one in own:
        digest.update(f"{one.__module__}.{one.__qualname__}\n".encode())
        for name, value in sorted(vars(one).items()):
            if not name.startswith("__") or callable(value):
                digest.update(f"{name} = {_text(value)}\n".encode())
    return digest.hexdigest()[:16] if own else ""


def describe(value: Any) -> str:
    """A callable in words that are the same in every process: qualified name, and code where it is Python's.

    >>> describe(len)
    'builtins.len'
    """
    if isinstance(value, functools.partial):
        given = [*map(_text, value.args), *(f"{name}={_text(one)}" for name, one in value.keywords.items())]
        return f"{describe(value.func)}({', '.join(given)})"
    value = getattr(value, "__func__", value)
    named = value if hasattr(value, "__qualname__") else type(value)
    text = f"{named.__module__}.{named.__qualname__}"
    parts = [value, inspect.unwrap(value)] if hasattr(value, "__wrapped__") else [value]
    for part in parts:
        code = getattr(part, "__code__", None)
        if isinstance(code, CodeType):
            text += f":{hashlib.sha256(_compiled(code, part).encode()).hexdigest()[:16]}"
    return text


def _text(value: Any) -> str:
    """A value as far as words for it are the same in every process; else its type."""
    if isinstance(value, property):
        return ", ".join(describe(one) for one in (value.fget, value.fset) if one is not None)
    if callable(value) or isinstance(value, classmethod | staticmethod):
        return describe(value)
    return repr(value) if _has_stable_repr(value) else type(value).__qualname__


def _compiled(code: CodeType, function: Any = None) -> str:
    constants = [_compiled(one) if isinstance(one, CodeType) else _text(one) for one in code.co_consts]
    named = getattr(function, "__kwdefaults__", None) or {}
    bound = [*(getattr(function, "__defaults__", None) or ()), *named.values()]
    for cell in getattr(function, "__closure__", None) or ():
        try:
            bound.append(cell.cell_contents)
        except ValueError:  # still empty
            continue
    values = [repr(one) if _has_stable_repr(one) else "" for one in bound]
    return f"{code.co_code.hex()} {code.co_names} {constants} {values}"


def _has_stable_repr(value: Any) -> bool:
    if isinstance(value, tuple | list):
        return all(_has_stable_repr(one) for one in value)
    return value is None or isinstance(value, bool | int | float | complex | str | bytes)
