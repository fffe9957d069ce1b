"""Configs from choices, and choices from configs: a tree of nodes made into functions once, and called often.

A search walks its space thousands of times for one proposal. So what depends on the tree alone (paths, labels, what
does not vary) is worked out when the functions are made.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from autoreg.space import any_of, ranges
from autoreg.space.nodes import AnyOf, Choice, Constant, EveryLayer, Group, Node, PerLayer, Range, thaw
from autoreg.space.parser import plain
from autoreg.space.paths import child
from autoreg.space.problems import problem, show
from autoreg.space.tree import Choose, each_layer_problem, is_constant, option_path, taken

Builder = Callable[[Choose], Any]
Flattener = Callable[[Any, dict[str, Any]], None]
"""Adds what a config has chosen to the second argument."""

_NUMBERS = (int, float)
_VARIES = object()  # in place of the value of what is no plain constant


def builder(node: Node, path: str = "") -> Builder:
    """A function that gives the config in which `choose(path, domain)` has made every choice.

    Where more methods are on than an `any_of` allows, `choose` is asked which of them leaves, see `any_of.ask`. The
    function raises an `InputError` when `choose` returns a label that is none, or a number outside its range.
    """
    if isinstance(node, Constant):
        value = node.value
        return (lambda choose: value) if node.is_plain else (lambda choose: thaw(value))
    if isinstance(node, Range):
        return lambda choose: _chosen(node, choose(path, node), path)
    if isinstance(node, Group):
        return _group_builder(node.items, path)
    if isinstance(node, PerLayer):
        patterns = _group_builder(node.patterns, path)
        return lambda choose: {"per_layer": patterns(choose)}
    if isinstance(node, AnyOf):
        members = {name: builder(item, child(path, name)) for name, item in node.items}
        return lambda choose: {name: members[name](choose) for name, _ in any_of.ask(node, choose, path)} or "none"
    if isinstance(node, EveryLayer):
        return lambda choose: _refuse_each_layer(path)
    return _choice_builder(node, path)


def _group_builder(items: tuple[tuple[str, Node], ...], path: str) -> Builder:
    start = {name: item.value if isinstance(item, Constant) and item.is_plain else None for name, item in items}
    varying = [
        (name, builder(item, child(path, name)))
        for name, item in items
        if not (isinstance(item, Constant) and item.is_plain)
    ]

    def build(choose: Choose) -> dict[str, Any]:
        config = dict(start)
        for name, make in varying:
            config[name] = make(choose)
        return config

    return build


def _choice_builder(node: Choice, path: str) -> Builder:
    makers = {o.label: _option_builder(builder(o.node, option_path(node, o, path)), o) for o in node.options}
    labels = node.labels
    if len(labels) == 1:
        return makers[labels[0]]

    def build(choose: Choose) -> Any:
        label = choose(path, labels)
        if not isinstance(label, str) or label not in makers:
            raise problem(path, f"found the label {show(label)}", allowed=labels, wrong=str(label))
        return makers[label](choose)

    return build


def _option_builder(make: Builder, option: Any) -> Builder:
    label = option.label
    return (lambda choose: {label: make(choose)}) if isinstance(option.node, Group) else make


def _refuse_each_layer(path: str) -> Any:
    raise each_layer_problem(path)


def _chosen(domain: Range, value: Any, path: str) -> int | float:
    if type(value) in _NUMBERS and domain.low <= value <= domain.high:
        return ranges.snap(domain, value)
    value = plain(value)
    tolerance = 1e-9 * max(abs(domain.low), abs(domain.high))
    number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if not number or not domain.low - tolerance <= value <= domain.high + tolerance:
        raise problem(path, f"found {show(value)}", allowed=f"a number from {domain.low!r} to {domain.high!r}")
    return ranges.snap(domain, value)


def flattener(node: Node, path: str = "") -> Flattener:
    """A function that finds what was chosen in a config, path -> number or label; the inverse of `builder`'s.

    It raises an `InputError`, naming the place, when the config is not a point of the tree.
    """
    if isinstance(node, Constant):
        return lambda config, flat: _check_constant(node, config, path)
    if isinstance(node, Range):
        return lambda config, flat: _flatten_range(node, config, path, flat)
    if isinstance(node, Group):
        return _items_flattener(node.items, path)
    if isinstance(node, PerLayer):
        return _layers_flattener(node, path)
    if isinstance(node, AnyOf):
        return _any_of_flattener(node, path)
    if isinstance(node, EveryLayer):
        return lambda config, flat: _refuse_each_layer(path)
    return _choice_flattener(node, path)


def _check_constant(node: Constant, config: Any, path: str) -> None:
    if not is_constant(node, config):
        raise problem(path, f"found {show(config)}", allowed=show(thaw(node.value)))


def _flatten_range(node: Range, config: Any, path: str, flat: dict[str, Any]) -> None:
    if not ranges.holds(node, config):
        kind = "whole number" if node.is_int else "number (float)"
        step = "" if node.step is None else f" in steps of {node.step!r}"
        raise problem(path, f"found {show(config)}", allowed=f"a {kind} from {node.low!r} to {node.high!r}{step}")
    flat[path] = config


def _items_flattener(items: tuple[tuple[str, Node], ...], path: str) -> Flattener:
    names = [name for name, _ in items]
    parts = [
        (name, n.value if isinstance(n, Constant) and n.is_plain else _VARIES, flattener(n, child(path, name)))
        for name, n in items
    ]

    def flatten(config: Any, flat: dict[str, Any]) -> None:
        if type(config) is not dict and not isinstance(config, Mapping):
            raise problem(
                path or "config", f"found {show(config)}", allowed=f"a mapping with {', '.join(names) or 'no names'}"
            )
        if list(config) != names:
            _check_names(config, names, path)
        for name, value, inner in parts:
            found = config[name]
            if found is not value:  # the very object is surely of its type and value
                inner(found, flat)

    return flatten


def _check_names(config: Mapping[str, Any], names: list[str], path: str) -> None:
    for name in config:
        if name not in names:
            raise problem(path or "config", f"unknown name {name!r}", allowed=names, wrong=str(name))
    for name in names:
        if name not in config:
            raise problem(child(path, name), "is missing", allowed="every active parameter given")


def _layers_flattener(node: PerLayer, path: str) -> Flattener:
    inner, patterns = _items_flattener(node.patterns, path), [pattern for pattern, _ in node.patterns]

    def flatten(config: Any, flat: dict[str, Any]) -> None:
        if not isinstance(config, Mapping) or set(config) != {"per_layer"}:
            raise problem(path, f"found {show(config)}", allowed="{per_layer: {PATTERN: value}}")
        inner(config["per_layer"], flat)
        if list(config["per_layer"]) != patterns:
            raise problem(path, "the patterns stand in another order", allowed=patterns)

    return flatten


def _any_of_flattener(node: AnyOf, path: str) -> Flattener:
    parts = [(name, child(path, name), flattener(item, child(path, name))) for name, item in node.items]

    def flatten(config: Any, flat: dict[str, Any]) -> None:
        found = {name for name, _ in any_of.members(node, config, path)}
        for name, here, inner in parts:
            if not node.all_in:
                flat[here] = any_of.ON if name in found else any_of.OFF
            if name in found:
                inner(config[name], flat)

    return flatten


def _choice_flattener(node: Choice, path: str) -> Flattener:
    several = len(node.options) > 1
    inners = {o.label: flattener(o.node, option_path(node, o, path)) for o in node.options}
    groups = {option.label for option in node.options if isinstance(option.node, Group)}
    # a mapping of one name is the group of that name where no literal could be meant
    plain_only = all(
        isinstance(o.node, Group) or (isinstance(o.node, Constant) and o.node.is_plain) for o in node.options
    )

    def flatten(config: Any, flat: dict[str, Any]) -> None:
        if plain_only and type(config) is dict and len(config) == 1 and (label := next(iter(config))) in groups:
            grouped = True
        else:
            option = taken(node, config, path)
            label, grouped = option.label, isinstance(option.node, Group)
        if several:
            flat[path] = label
        inners[label](config[label] if grouped else config, flat)

    return flatten
