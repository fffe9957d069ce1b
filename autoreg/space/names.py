"""What an expression may name in a config: the names, and the values that they can take."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import Any

from autoreg.space import any_of
from autoreg.space.expression import Several
from autoreg.space.nodes import AnyOf, Constant, EveryLayer, Group, Node, PerLayer, Range, thaw
from autoreg.space.parser import same
from autoreg.space.paths import child
from autoreg.space.tree import each_layer_problem, taken

PathFilter = Callable[[str], bool]


def _every_path(path: str) -> bool:
    return True


def named_values(node: Node, config: Any, path: str = "", wanted: PathFilter = _every_path) -> dict[str, Any]:
    """What an expression may name in `config`: path -> value, a method as its name, layers as `Several`.

    Nothing is looked up below a path for which `wanted` is false.
    """
    if isinstance(node, (Constant, Range)):
        return {} if isinstance(config, (list, dict)) else {path: config}
    if isinstance(node, Group):
        found: dict[str, Any] = {}
        for name, item in node.items:
            if wanted(below := child(path, name)):
                found |= named_values(item, config[name], below, wanted)
        return found
    if isinstance(node, PerLayer):
        parts = [named_values(item, config["per_layer"][pattern], path, wanted) for pattern, item in node.patterns]
        names = dict.fromkeys(itertools.chain.from_iterable(parts))
        return {name: Several.of(part[name] for part in parts if name in part) for name in names}
    if isinstance(node, AnyOf):
        members = any_of.members(node, config, path)
        values = {path: Several(tuple(name for name, _ in members)) if members else "none"}
        for name, item in members:
            if wanted(below := child(path, name)):
                values |= named_values(item, config[name], below, wanted)
        return values
    if isinstance(node, EveryLayer):
        raise each_layer_problem(path)
    option = taken(node, config, path)
    if not isinstance(option.node, Group):
        return {path: config}
    below = child(path, option.label)
    return {path: option.label} | (
        named_values(option.node, config[option.label], below, wanted) if wanted(below) else {}
    )


def known_names(node: Node, path: str = "") -> dict[str, tuple[Any, ...] | None]:
    """The names that an expression may use, each with the values it can take (None: any number)."""
    if isinstance(node, Constant):
        return {path: (node.value,)} if not isinstance(thaw(node.value), (list, dict)) else {}
    if isinstance(node, Range):
        return {path: None}
    if isinstance(node, EveryLayer):
        return known_names(node.node, path)
    found: dict[str, tuple[Any, ...] | None] = {}
    if isinstance(node, Group):
        for name, item in node.items:
            found |= known_names(item, child(path, name))
    elif isinstance(node, PerLayer):
        for _, item in node.patterns:
            found = merge_known(found, known_names(item, path))
    elif isinstance(node, AnyOf):
        found[path] = tuple(name for name, _ in node.items) + (() if node.all_in else ("none",))
        for name, item in node.items:
            found |= known_names(item, child(path, name))
    else:
        values = [option.node.value if isinstance(option.node, Constant) else option.label for option in node.options]
        ranged = any(isinstance(option.node, Range) for option in node.options)
        found[path] = None if ranged else tuple(values)
        for option in node.options:
            if isinstance(option.node, Group):
                found |= known_names(option.node, child(path, option.label))
    return found


def merge_known(
    left: Mapping[str, tuple[Any, ...] | None], right: Mapping[str, tuple[Any, ...] | None]
) -> dict[str, tuple[Any, ...] | None]:
    """Join two tables of known names; the values of a name in both are put together."""
    merged = dict(left)
    for name, values in right.items():
        mine = merged.get(name, ())
        merged[name] = (
            None
            if mine is None or values is None
            else (*mine, *(v for v in values if not any(same(v, one) for one in mine)))
        )
    return merged
