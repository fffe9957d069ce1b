"""A function of recipes that is called once for each recipe object that is around."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

Recipe = TypeVar("Recipe", bound=Mapping[str, Any])
Found = TypeVar("Found")


def memoized(function: Callable[[Recipe], Found], most: int = 4096) -> Callable[[Recipe], Found]:
    """The same function, called once for each recipe object that is around; recipes must not be changed.

    By the object, not by what it holds: hashing a recipe costs as much as many a function of it.
    """
    held: dict[int, tuple[Recipe, Found]] = {}

    def get(recipe: Recipe) -> Found:
        cached = held.get(id(recipe))
        if cached is None or cached[0] is not recipe:  # the number of an object that is gone may be used again
            if len(held) >= most:
                held.clear()
            cached = held[id(recipe)] = recipe, function(recipe)
        return cached[1]

    return get
