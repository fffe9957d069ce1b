"""The Python face of the DSL: short constructors that make the same tree as the YAML.

    space = Space.from_dict({
        "lr": log(1e-4, 1e-1),
        "regularizer": choice("none", option("l1", strength=log(1e-5, 1e-2))),
        "bits": per_layer({"type:Linear": choice(4, 8), "*": 8}),
    })

They are not the functions of the same names in `autoreg.space.spec`, with which a method declares
its parameters.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from autoreg.space.nodes import AnyOf, Choice, Constant, EveryLayer, Group, Node, PerLayer, Range, RangeKind
from autoreg.space.parser import parse_node
from autoreg.space.problems import Places


def node(data: Any) -> Node:
    """The node that plain data (in the words of the YAML) or nodes stand for."""
    return parse_node(data, (), Places("space"))


def _range(kind: RangeKind, low: float, high: float, step: float | None) -> Range:
    data = {kind: [low, high]} if step is None else {kind: [low, high], "step": step}
    return cast(Range, node(data))


def uniform(low: float, high: float, step: float | None = None) -> Range:
    """A number drawn uniformly from [low, high], `{uniform: [low, high], step: step}`."""
    return _range("uniform", low, high, step)


def log(low: float, high: float, step: float | None = None) -> Range:
    """A number above 0 drawn uniformly in its logarithm, `{log: [low, high]}`."""
    return _range("log", low, high, step)


def integer(low: int, high: int, step: int | None = None) -> Range:
    """A whole number drawn uniformly, both ends included, `{int: [low, high]}`."""
    return _range("int", low, high, step)


def log_integer(low: int, high: int, step: int | None = None) -> Range:
    """A whole number drawn uniformly in its logarithm, `{log_int: [low, high]}`."""
    return _range("log_int", low, high, step)


def choice(*options: Any) -> Choice:
    """One of the options: plain values, ranges, and what `option` makes."""
    return cast(Choice, node(list(options)))


def option(label: str, /, **parameters: Any) -> dict[str, Any]:
    """An option with parameters, `{label: {parameter: ...}}`."""
    return {label: parameters}


def any_of(*options: Any, at_most: int | None = None) -> AnyOf:
    """Each of the methods in or out, `{any_of: [method, ...], at_most: n}`; names, and what `option` makes."""
    data = {"any_of": list(options)}
    return cast(AnyOf, node(data if at_most is None else {**data, "at_most": at_most}))


def group(items: Mapping[str, Any] | None = None, /, **more: Any) -> Group:
    """Named parts that are all present together."""
    return cast(Group, node({**(items or {}), **more}))


def value(literal: Any) -> Constant:
    """A constant that is itself a list or a mapping, `{value: ...}`."""
    return cast(Constant, node({"value": literal}))


def per_layer(patterns: Mapping[str, Any]) -> PerLayer:
    """One value for each layer pattern, first match wins."""
    return cast(PerLayer, node({"per_layer": patterns}))


def each_layer(inner: Any) -> EveryLayer:
    """One value for every weighted layer."""
    return cast(EveryLayer, node({"each_layer": inner}))
