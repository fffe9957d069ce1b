"""What a config of another space says in the words of this one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from autoreg.errors import InputError
from autoreg.space import any_of, ranges
from autoreg.space.nodes import AnyOf, Constant, EveryLayer, Group, Node, PerLayer, Range
from autoreg.space.paths import child
from autoreg.space.tree import option_path, taken


def shared(node: Node, config: Any, path: str = "") -> dict[str, Any]:
    """The choices of `config` that a space has too: path -> number or label, as `Space.flatten` gives them.

    Parameters are matched by path and levels by value; a number outside of its range is moved to the nearer end, and
    one between two steps to the nearest. Whatever does not match is left out, and with it what depends on it.

    Args:
        node: The root of the space.
        config: A config of any space.
        path: Where `node` stands.

    Example:
        >>> from autoreg.space import Space
        >>> space = Space.from_dict({"lr": {"log": [1e-3, 1e-1]}, "bits": [4, 8], "width": {"int": [1, 4]}})
        >>> shared(space.root, {"lr": 1.0, "bits": 2, "depth": 3})
        {'lr': 0.1}
    """
    flat: dict[str, Any] = {}
    _collect(node, config, path, flat)
    return flat


def _collect(node: Node, config: Any, path: str, flat: dict[str, Any]) -> None:
    if isinstance(node, Constant | EveryLayer):
        return
    if isinstance(node, Range):
        if isinstance(config, int | float) and not isinstance(config, bool) and math.isfinite(config):
            flat[path] = ranges.snap(node, min(max(config, node.low), node.high))
    elif isinstance(node, Group | PerLayer):
        items = node.items if isinstance(node, Group) else node.patterns
        held = config.get("per_layer") if isinstance(node, PerLayer) and isinstance(config, Mapping) else config
        for name, item in items:
            if isinstance(held, Mapping) and name in held:
                _collect(item, held[name], child(path, name), flat)
    elif isinstance(node, AnyOf):
        _collect_switches(node, config, path, flat)
    else:
        try:
            option = taken(node, config, path)
        except InputError:
            return
        if len(node.options) > 1:
            flat[path] = option.label
        inner = config[option.label] if isinstance(option.node, Group) else config
        _collect(option.node, inner, option_path(node, option, path), flat)


def _collect_switches(node: AnyOf, config: Any, path: str, flat: dict[str, Any]) -> None:
    """What another space says of the methods in a slot, chosen there one at a time or several at once."""
    held: Mapping[str, Any] = config if isinstance(config, Mapping) else {}
    if not held and config != "none":
        return
    for name, item in node.items:
        if not node.all_in:
            flat[child(path, name)] = any_of.ON if name in held else any_of.OFF
        if name in held:
            _collect(item, held[name], child(path, name), flat)
