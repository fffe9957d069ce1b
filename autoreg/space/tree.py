"""Walks over the tree: parameters, what a config has taken, counting, enumerating."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from autoreg.errors import InputError
from autoreg.space import any_of, ranges
from autoreg.space.nodes import (
    AnyOf,
    Choice,
    Constant,
    EveryLayer,
    Group,
    Node,
    Option,
    PerLayer,
    Range,
    thaw,
    typed,
)
from autoreg.space.parser import same
from autoreg.space.paths import child
from autoreg.space.problems import problem, show

Domain = Range | tuple[str, ...]
Condition = tuple[tuple[str, str], ...]
Choose = Callable[[str, Domain], Any]


@dataclass(frozen=True)
class Parameter:
    """One thing that varies.

    `domain` is a range, or the labels of a choice. The parameter is active exactly when every pair
    (path of a choice, label taken) of `condition` holds.
    """

    path: str
    domain: Domain
    condition: Condition = ()


def option_path(choice: Choice, option: Option, path: str) -> str:
    """The path under which the content of an option stands; a lone range needs no label."""
    lone = len(choice.options) == 1 and not isinstance(option.node, Group)
    return path if lone else child(path, option.label)


def each_layer_problem(path: str) -> InputError:
    """The error for a value per layer in a space that knows no layers."""
    return problem(path, "each_layer needs the layers of a task", allowed="bind(registry, layers) first")


def parameters(node: Node, path: str = "", condition: Condition = ()) -> Iterator[Parameter]:
    """The flat list of parameters; a choice stands before what depends on it."""
    if isinstance(node, Range):
        yield Parameter(path, node, condition)
    elif isinstance(node, Group):
        for name, item in node.items:
            yield from parameters(item, child(path, name), condition)
    elif isinstance(node, PerLayer):
        for pattern, item in node.patterns:
            yield from parameters(item, child(path, pattern), condition)
    elif isinstance(node, EveryLayer):
        raise each_layer_problem(path)
    elif isinstance(node, Choice):
        if len(node.options) > 1:
            yield Parameter(path, tuple(option.label for option in node.options), condition)
        for option in node.options:
            inner = condition if len(node.options) == 1 else (*condition, (path, option.label))
            yield from parameters(option.node, option_path(node, option, path), inner)
    elif isinstance(node, AnyOf):
        for name, item in node.items:
            here = child(path, name)
            if not node.all_in:
                yield Parameter(here, any_of.SWITCH, condition)
            yield from parameters(item, here, condition if node.all_in else (*condition, (here, any_of.ON)))


def any_ofs(node: Node, path: str = "") -> Iterator[tuple[str, AnyOf]]:
    """The places where methods are switched on and off."""
    if isinstance(node, AnyOf) and not node.all_in:
        yield path, node
    if isinstance(node, Choice):
        for option in node.options:
            yield from any_ofs(option.node, option_path(node, option, path))
    elif isinstance(node, Group | AnyOf | PerLayer):
        for name, item in node.patterns if isinstance(node, PerLayer) else node.items:
            yield from any_ofs(item, child(path, name))


def is_constant(node: Constant, config: Any) -> bool:
    """Whether `config` is the value of a constant, in value and type."""
    if type(config) in (bool, int, float, str):
        return node.is_plain and same(node.value, config)
    return bool(node.key == typed(config))


def taken(choice: Choice, config: Any, path: str) -> Option:
    """The option of `choice` that `config` shows.

    Raises:
        InputError: when it shows none of them.
    """
    mapped = type(config) is dict or isinstance(config, Mapping)
    for option in choice.options:
        if isinstance(option.node, Group):
            if mapped and len(config) == 1 and option.label in config:
                return option
        elif isinstance(option.node, Constant):
            if is_constant(option.node, config):
                return option
        elif ranges.holds(option.node, config):
            return option
    labels = [option.label for option in choice.options]
    wrong = next(iter(config)) if isinstance(config, Mapping) and len(config) == 1 else config
    if isinstance(wrong, str) and wrong in labels:
        what = f"found {show(config)}, where {wrong!r} has the form "
        grouped = any(option.label == wrong and isinstance(option.node, Group) for option in choice.options)
        raise problem(path, what + (f"{{{wrong}: {{...}}}}" if grouped else f"{wrong}"), allowed=labels)
    raise problem(path, f"found {show(config)}", allowed=labels, wrong=wrong if isinstance(wrong, str) else None)


def count(node: Node, path: str = "", *, grid_only: bool = False) -> float:
    """How many configs the tree has (an int, or infinite), rules aside.

    With `grid_only` a continuous range counts as one value: the number of combinations of the rest.
    """
    if isinstance(node, Constant):
        return 1
    if isinstance(node, Range):
        found = ranges.count(node)
        return 1 if grid_only and math.isinf(found) else found
    if isinstance(node, Choice):
        return sum(count(option.node, option_path(node, option, path), grid_only=grid_only) for option in node.options)
    if isinstance(node, EveryLayer):
        raise each_layer_problem(path)
    items = node.patterns if isinstance(node, PerLayer) else node.items
    counts = [count(item, child(path, name), grid_only=grid_only) for name, item in items]
    return any_of.count(node, counts) if isinstance(node, AnyOf) else math.prod(counts)


def enumerate_node(node: Node) -> Iterator[Any]:
    """Every config of a finite tree, once, in a fixed order."""
    if isinstance(node, Constant):
        yield thaw(node.value)
    elif isinstance(node, Range):
        yield from ranges.values(node)
    elif isinstance(node, Choice):
        for option in node.options:
            for value in enumerate_node(option.node):
                yield {option.label: value} if isinstance(option.node, Group) else value
    elif isinstance(node, EveryLayer):
        raise each_layer_problem("")
    elif isinstance(node, AnyOf):
        for found in any_of.subsets(node):
            for several in _product(found):
                yield several or "none"
    elif isinstance(node, Group):
        yield from _product(node.items)
    else:
        for values in _product(node.patterns):
            yield {"per_layer": values}


def _product(items: tuple[tuple[str, Node], ...]) -> Iterator[dict[str, Any]]:
    if not items:
        yield {}
        return
    (name, node), rest = items[0], items[1:]
    for value in enumerate_node(node):
        for others in _product(rest):
            yield {name: value, **others}
