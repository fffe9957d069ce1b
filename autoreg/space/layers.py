"""Layers and the patterns that name them: globs, `type:Linear`, index ranges `[0:3]`, `*`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from autoreg.space.problems import nearest, problem

_INDEX = re.compile(r"\[\s*(-?\d*)\s*:\s*(-?\d*)\s*\]")
_TYPE = "type:"


@dataclass(frozen=True)
class LayerInfo:
    """One weighted layer of a model: its module name and the name of its class."""

    name: str
    type: str


def matches(pattern: str, layers: Sequence[LayerInfo]) -> list[int]:
    """The indices of the layers that `pattern` names, over weighted layers in `named_modules` order.

    >>> matches("[1:]", [LayerInfo("stem", "Conv2d"), LayerInfo("head", "Linear")])
    [1]
    """
    index = _INDEX.fullmatch(pattern)
    if index is not None:
        start, stop = (int(bound) if bound else None for bound in index.groups())
        return list(range(len(layers)))[start:stop]
    if pattern.startswith(_TYPE):
        wanted = pattern.removeprefix(_TYPE)
        return [i for i, layer in enumerate(layers) if fnmatchcase(layer.type, wanted)]
    return [i for i, layer in enumerate(layers) if layer.name == pattern or fnmatchcase(layer.name, pattern)]


def winners(patterns: Sequence[str], layers: Sequence[LayerInfo]) -> list[str | None]:
    """For each layer the first pattern that matches it, or None."""
    found: list[str | None] = [None] * len(layers)
    for pattern in patterns:
        for index in matches(pattern, layers):
            if found[index] is None:
                found[index] = pattern
    return found


def layer_values(value: Any, layers: Sequence[LayerInfo]) -> dict[str, Any]:
    """Resolve a value of a config for every layer.

    Args:
        value: a plain value, the same for all, or `{"per_layer": {pattern: value}}` (first match wins).
        layers: the weighted layers in `named_modules` order.

    Raises:
        InputError: when a layer is matched by no pattern.
    """
    if not (isinstance(value, Mapping) and set(value) == {"per_layer"}):
        return {layer.name: value for layer in layers}
    by_pattern = value["per_layer"]
    check_cover(list(by_pattern), layers, "per_layer")
    taken = winners(list(by_pattern), layers)
    return {layer.name: by_pattern[pattern] for layer, pattern in zip(layers, taken, strict=True)}


def check_cover(patterns: Sequence[str], layers: Sequence[LayerInfo], place: str) -> None:
    """Raise an `InputError` unless every layer is matched by one of the patterns."""
    for layer, pattern in zip(layers, winners(patterns, layers), strict=True):
        if pattern is None:
            what = f"no pattern matches the layer {layer.name!r} ({layer.type})"
            raise problem(place, what, allowed='patterns that cover every layer; add "*": VALUE at the end')


def check_pattern(pattern: str, before: Sequence[str], layers: Sequence[LayerInfo], place: str) -> None:
    """Raise an `InputError` when `pattern` matches no layer, or only layers that patterns before it take."""
    indices = matches(pattern, layers)
    types = list(dict.fromkeys(layer.type for layer in layers))
    if not indices:
        names = [layer.name for layer in layers]
        shown = [f"{_TYPE}{name}" for name in types] if pattern.startswith(_TYPE) else names
        head = nearest(pattern.split(".")[0], {name.split(".")[0] for name in names})
        if "*" in pattern and head is not None:  # the beginning of a glob may be what is wrong
            close = ".".join([head, *pattern.split(".")[1:]])
            shown = [close, *shown] if matches(close, layers) and close != pattern else shown
        what = f"the pattern {pattern!r} matches none of the {len(layers)} weighted layers"
        raise problem(place, what, allowed=shown, wrong=pattern)
    if all(index in taken_by(before, layers) for index in indices):
        what = f"the pattern {pattern!r} never wins: patterns before it take every layer that it matches"
        raise problem(place, what, allowed="the narrower patterns first")


def taken_by(patterns: Sequence[str], layers: Sequence[LayerInfo]) -> set[int]:
    """The indices of the layers that one of the patterns matches."""
    return {index for pattern in patterns for index in matches(pattern, layers)}
