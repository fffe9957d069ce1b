"""Recipes: one point of a space as plain data, completed, checked and hashed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from autoreg.space.binding import Binder
from autoreg.space.building import builder
from autoreg.space.layers import LayerInfo
from autoreg.space.names import named_values
from autoreg.space.nodes import AnyOf, Choice, EveryLayer, Group, Node, PerLayer, Range
from autoreg.space.parser import parse_node
from autoreg.space.problems import Path as DataPath
from autoreg.space.problems import Places, problem, show
from autoreg.space.reader import Located, read_file
from autoreg.space.spec import Registry

_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False)


def load_recipe(path: Path | str) -> dict[str, Any]:
    """Read a recipe file, YAML or `.json`; the dict remembers its lines for `complete_recipe`.

    Raises:
        InputError: when the file cannot be read or is no mapping.
    """
    document = read_file(path)
    if not isinstance(document.data, dict):
        raise problem(document.places.at(), f"found {show(document.data)}", allowed="a mapping: a recipe")
    return Located(document.data, document.places)


def complete_recipe(
    obj: Mapping[str, Any],
    registry: Registry,
    layers: Sequence[LayerInfo] = (),
    defaults: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Check a recipe and fill in the default of everything it does not mention.

    Args:
        obj: the recipe, perhaps partial; methods may be bare names (`magnitude` for `{magnitude: {}}`).
        registry: what a recipe may name.
        layers: the weighted layers, against which layer patterns are checked.
        defaults: values that override the registry's defaults, by dotted name.

    Returns:
        The complete recipe, as a config of a bound space has it.

    Raises:
        InputError: when something is unknown, out of bounds, left open, or refused by a method.
    """
    places = obj.places if isinstance(obj, Located) else Places("recipe")
    if not isinstance(obj, Mapping):
        raise problem(places.at(), f"found {show(obj)}", allowed="a mapping: a recipe")
    root = Group(tuple((name, parse_node(value, (name,), places)) for name, value in obj.items()))
    _refuse_open(root, (), places)
    binder = Binder(registry, tuple(layers), places, vary=False)
    bound = binder.root(root, defaults or {})
    config: dict[str, Any] = builder(bound)(_never)
    names = named_values(bound, config)
    for rule in dict.fromkeys(binder.rules):
        if rule.broken(names):
            raise problem(places.at(), f"refused: {rule.reason}", allowed=f"no recipe in which {rule.expression.text}")
    return config


def _never(path: str, domain: Any) -> Any:
    raise problem(path, "is left open", allowed="a single value, since a recipe is one point")


def _refuse_open(node: Node, path: DataPath, places: Places) -> None:
    """Refuse ranges and choices where a recipe holds one value."""
    if isinstance(node, (Range, Choice, AnyOf)):
        found = "a range" if isinstance(node, Range) else "a list of options" if isinstance(node, Choice) else "any_of"
        raise problem(
            places.at(path), f"found {found}", allowed="a single value, since a recipe is one point of a space"
        )
    if isinstance(node, EveryLayer):
        _refuse_open(node.node, (*path, "each_layer"), places)
    if isinstance(node, (Group, PerLayer)):
        layered = isinstance(node, PerLayer)
        for name, item in node.patterns if isinstance(node, PerLayer) else node.items:
            _refuse_open(item, (*path, *(("per_layer",) if layered else ()), name), places)


def digest(config: Mapping[str, Any]) -> str:
    """16 hexadecimal digits of the SHA-256 of a config's canonical JSON.

    The order of names does not matter; that of layer patterns does, since the first match wins.

    >>> digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1}), digest({"a": 1}) == digest({"a": 1.0})
    (True, False)
    """
    return hashlib.sha256(canonical_json(config).encode()).hexdigest()[:16]


def canonical_json(value: Any) -> str:
    """The one JSON text of a value: names sorted, layer patterns in their order, since the first match wins.

    >>> canonical_json({"b": 1, "a": {"per_layer": {"y": 2, "x": 3}}})
    '{"a":{"per_layer":[["y",2],["x",3]]},"b":1}'
    """
    try:
        text = _ENCODER.encode(value)
    except TypeError:  # a mapping that is no dict
        text = ""
    if text and '"per_layer"' not in text:  # nothing whose order counts: most configs, and twice as fast
        return text
    return _ENCODER.encode(_ordered(value))


def content_hashes(head: Sequence[Any], ends: Sequence[int]) -> dict[int, str]:
    """For each end, 32 hexadecimal digits of the SHA-256 of the canonical JSON of the head with it as the last item.

    The head is written once for all ends.

    >>> whole = canonical_json(["key", {"lr": 0.1}, 12])
    >>> content_hashes(["key", {"lr": 0.1}], [8, 12])[12] == hashlib.sha256(whole.encode()).hexdigest()[:32]
    True
    """
    shared = hashlib.sha256(canonical_json([*head, 0])[: -len("0]")].encode())
    found: dict[int, str] = {}
    for end in ends:
        whole = shared.copy()
        whole.update(f"{end}]".encode())
        found[end] = whole.hexdigest()[:32]
    return found


def _ordered(value: Any) -> Any:
    if isinstance(value, Mapping):
        if set(value) == {"per_layer"} and isinstance(value["per_layer"], Mapping):
            return {"per_layer": [[pattern, _ordered(item)] for pattern, item in value["per_layer"].items()]}
        return {name: _ordered(item) for name, item in value.items()}
    return [_ordered(item) for item in value] if isinstance(value, (list, tuple)) else value
