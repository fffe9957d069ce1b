"""Modules that are imported when they are first used.

What a method *declares* must load without torch, while its mathematics stands in the same file.
Such a file says::

    if TYPE_CHECKING:
        import torch
    else:
        torch = lazy_module("torch")
"""

from __future__ import annotations

import importlib
from typing import Any


class _LazyModule:
    def __init__(self, name: str) -> None:
        self.__name = name
        self.__module: Any = None

    def __getattr__(self, attribute: str) -> Any:
        if attribute == "__wrapped__":  # asked of everything by inspect and doctest, which want no import
            raise AttributeError(attribute)
        if self.__module is None:
            self.__module = importlib.import_module(self.__name)
        return getattr(self.__module, attribute)

    def __repr__(self) -> str:
        return f"<lazy module {self.__name!r}>"


def lazy_module(name: str) -> Any:
    """Return a stand-in for module `name` that imports it at the first attribute access."""
    return _LazyModule(name)
