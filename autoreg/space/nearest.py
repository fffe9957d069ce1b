"""The config of a space that is nearest to a recipe from outside of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from autoreg.space.space import Space


def nearest(space: Space, recipe: Mapping[str, Any], base: Mapping[str, Any]) -> dict[str, Any] | None:
    """A config that takes each part of `recipe` that the space has beside those before it, the rest from `base`.

    Args:
        space: Where it comes from.
        recipe: A recipe, with the names of a config of the space.
        base: A config of the space.

    Returns:
        The config; None where `base` is no config of the space.

    Example:
        >>> from autoreg.space import Space
        >>> space = Space.from_dict({"bits": {"weights": [2, 8, 32], "activations": 32}})
        >>> nearest(space, {"bits": {"weights": 8, "activations": 8}}, {"bits": {"weights": 32, "activations": 32}})
        {'bits': {'weights': 8, 'activations': 32}}
    """
    return _grafted(space, dict(base), (), recipe) if base in space else None


def _grafted(space: Space, config: dict[str, Any], path: tuple[str, ...], wanted: Any) -> dict[str, Any]:
    have: Any = config
    for name in path:
        have = have[name]
    if have == wanted:
        return config
    changed: dict[str, Any] = _with(config, path, wanted)
    if changed in space:
        return changed
    if isinstance(have, Mapping) and isinstance(wanted, Mapping):
        for name in have:
            if name in wanted:
                config = _grafted(space, config, (*path, name), wanted[name])
    return config


def _with(config: Mapping[str, Any], path: tuple[str, ...], value: Any) -> Any:
    if not path:
        return value
    return {**config, path[0]: _with(config[path[0]], path[1:], value)}
