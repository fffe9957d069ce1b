"""From plain data (dicts, lists, scalars, as YAML or Python give them) to the tree of a space."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from autoreg.files import is_number
from autoreg.space import ranges
from autoreg.space.expression import Expression
from autoreg.space.nodes import (
    RANGE_KINDS,
    AnyOf,
    Choice,
    Constant,
    EveryLayer,
    Group,
    Node,
    Option,
    PerLayer,
    Range,
    RangeKind,
    freeze,
    typed,
)
from autoreg.space.problems import Path, Places, problem, show
from autoreg.space.reader import Document
from autoreg.space.spec import label_of
from autoreg.space.writer import node_to_data

RULE_KEYS = ("name", "forbidden", "constraints")
RESERVED_KEYS = ("value", "per_layer", "each_layer", "any_of")
_BESIDE = {"any_of": ("at_most",)}
_NODES = (Constant, Range, Choice, Group, AnyOf, PerLayer, EveryLayer)
_PLAIN = frozenset((bool, int, float, str))
_NODE_WORDS = "a value, a list of options, a range such as {log: [1e-5, 1e-2]}, or a mapping of names"


@dataclass(frozen=True)
class Parsed:
    """What a space file says."""

    name: str | None
    root: Group
    forbidden: tuple[Expression, ...]
    constraints: tuple[Expression, ...]


def parse_space(document: Document) -> Parsed:
    """Parse a whole space: its name, its tree and its rules.

    Raises:
        InputError: at the first thing that the grammar does not allow.
    """
    data, places = document.data, document.places
    if not isinstance(data, Mapping):
        raise problem(places.at(), f"found {show(data)}", allowed="a mapping of names to what may vary")
    name = data.get("name")
    if "name" in data and not (isinstance(name, str) and name):
        raise problem(places.at(("name",)), f"found {show(name)}", allowed="the name of the space, as text")
    tree = {key: value for key, value in data.items() if key not in RULE_KEYS}
    for key in tree:
        if key in ("per_layer", "each_layer", "any_of") or (
            key in RANGE_KINDS and isinstance(tree[key], (list, tuple))
        ):
            what = f"the word {key!r} stands where a name is expected"
            raise problem(places.at((key,)), what, allowed=f"NAME: {{{key}: ...}}")
    root = Group(tuple((_name(key, (), places), parse_node(value, (key,), places)) for key, value in tree.items()))
    return Parsed(name, root, rules(document, "forbidden"), rules(document, "constraints"))


def rules(document: Document, key: str) -> tuple[Expression, ...]:
    """The list of conditions under `key`, or nothing when it is not given."""
    given = document.data.get(key, ())
    if not isinstance(given, (list, tuple)):
        raise problem(document.places.at((key,)), f"found {show(given)}", allowed="a list of expressions")
    found = []
    for index, text in enumerate(given):
        place = document.places.at((key, index))
        if isinstance(text, Expression):
            text = text.text
        if not isinstance(text, str):
            raise problem(
                place, f"found {show(text)}", allowed='an expression as text, such as "flops <= 0.5 * dense.flops"'
            )
        expression = Expression.parse(text, place)
        if not expression.is_condition:
            what = f"{text!r} is a value, not a condition"
            raise problem(place, what, allowed="a comparison, such as 'flops <= 0.5 * dense.flops'")
        found.append(expression)
    return tuple(found)


def parse_node(data: Any, path: Path, places: Places) -> Node:
    """Parse what stands behind a name: a constant, a choice, a range, layers or a group."""
    data = plain(data)
    if isinstance(data, Mapping):
        return _mapping(data, path, places)
    if isinstance(data, (list, tuple)):
        return _choice(data, path, places)
    return Constant(_scalar(data, path, places, _NODE_WORDS))


def plain(data: Any) -> Any:
    """Nodes as the data they are written as, numpy's scalars as Python's; anything else as it is."""
    if type(data) in _PLAIN:
        return data
    if isinstance(data, _NODES):
        return node_to_data(data)
    return data.item() if isinstance(data, np.generic) else data


def _scalar(data: Any, path: Path, places: Places, allowed: str) -> bool | int | float | str:
    if isinstance(data, float) and not math.isfinite(data):
        raise problem(places.at(path), f"found {data}", allowed="finite numbers")
    if type(data) not in (bool, int, float, str):
        hint = '; for "nothing" write none' if data is None else ""
        raise problem(places.at(path), f"found {show(data)}", allowed=allowed + hint)
    value: bool | int | float | str = data
    return value


def _name(key: Any, path: Path, places: Places) -> str:
    if not isinstance(key, str) or not key:
        raise problem(places.at(path), f"found the key {show(key)}", allowed="names as text (in quotes)")
    return key


def _mapping(data: Mapping[str, Any], path: Path, places: Places) -> Node:
    if _is_range(data):
        return _range(data, path, places)
    for word in RESERVED_KEYS:
        others = [str(key) for key in data if key not in (word, *_BESIDE.get(word, ()))]
        if word in data and others:
            what = f"{word!r} stands beside {', '.join(map(repr, others))}"
            raise problem(
                places.at((*path, word)),
                what,
                allowed=f"{{{word}: ...}} alone ({word!r} is a reserved word)",
                wrong=others[0],
                near=_BESIDE.get(word, ()),
            )
    if "value" in data:
        return Constant(freeze(_literal(data["value"], (*path, "value"), places)), literal=True)
    if "each_layer" in data:
        return EveryLayer(_layer_node(data["each_layer"], (*path, "each_layer"), places))
    if "per_layer" in data:
        return _per_layer(data["per_layer"], (*path, "per_layer"), places)
    if "any_of" in data:
        return _any_of(data, path, places)
    return _group(data, path, places)


def _group(data: Mapping[str, Any], path: Path, places: Places) -> Group:
    for word in RANGE_KINDS:
        if word in data and not isinstance(plain(data[word]), Mapping):
            what = f"found {{{word}: {show(data[word])}}}"
            raise problem(
                places.at((*path, word)),
                what,
                allowed=f"a range {{{word}: [low, high]}}, or a method {{{word}: {{...}}}}",
            )
    return Group(
        tuple((_name(key, path, places), parse_node(value, (*path, key), places)) for key, value in data.items())
    )


def _literal(data: Any, path: Path, places: Places) -> Any:
    data = plain(data)
    if isinstance(data, Mapping):
        return {_name(key, path, places): _literal(value, (*path, key), places) for key, value in data.items()}
    if isinstance(data, (list, tuple)):
        return [_literal(value, (*path, index), places) for index, value in enumerate(data)]
    return _scalar(data, path, places, "values, lists and mappings")


def _layer_node(data: Any, path: Path, places: Places) -> Node:
    node = parse_node(data, path, places)
    if isinstance(node, (PerLayer, EveryLayer)):
        raise problem(places.at(path), "layers within layers", allowed="one value, choice or range per layer")
    return node


def _per_layer(data: Any, path: Path, places: Places) -> PerLayer:
    if not isinstance(data, Mapping) or not data:
        what = f"found {show(data)}"
        raise problem(places.at(path), what, allowed='a mapping of layer patterns, such as {"type:Linear": 8, "*": 4}')
    found = []
    for pattern, value in data.items():
        found.append((_name(pattern, path, places), _layer_node(value, (*path, pattern), places)))
    return PerLayer(tuple(found))


def _any_of(data: Mapping[str, Any], path: Path, places: Places) -> AnyOf:
    given, here = data["any_of"], (*path, "any_of")
    if not isinstance(given, (list, tuple)) or not given:
        raise problem(places.at(here), f"found {show(given)}", allowed="a list of methods, {any_of: [method, ...]}")
    methods: dict[str, Group] = {}
    for index, item in enumerate(given):
        place = places.at((*here, index))
        option = _option(plain(item), (*here, index), places)
        if option.label == "none":
            raise problem(place, "found none", allowed="methods; none is what remains when all are off")
        if isinstance(option.node, Range) or (
            isinstance(option.node, Constant) and not isinstance(option.node.value, str)
        ):
            raise problem(place, f"found {show(plain(option.node))}", allowed="a name, or {name: {parameter: ...}}")
        if option.label in methods:
            raise problem(place, f"the option {option.label!r} is given twice", allowed="each option once")
        methods[option.label] = option.node if isinstance(option.node, Group) else Group(())
    at_most = plain(data.get("at_most"))
    if "at_most" in data and (type(at_most) is not int or at_most < 1):
        what = f"found {show(at_most)}"
        raise problem(places.at((*path, "at_most")), what, allowed=f"a whole number from 1 (there are {len(methods)})")
    return AnyOf(tuple(methods.items()), at_most)


def _is_range(data: Mapping[str, Any]) -> bool:
    return any(key in data and isinstance(data[key], (list, tuple)) for key in RANGE_KINDS)


def _range(data: Mapping[str, Any], path: Path, places: Places) -> Range:
    kind: RangeKind = next(k for k in RANGE_KINDS if k in data and isinstance(data[k], (list, tuple)))
    for key in data:
        if key not in (kind, "step"):
            what = f"{key!r} stands beside {kind!r}"
            raise problem(places.at((*path, key)), what, allowed=[kind, "step"], wrong=str(key), near=["step"])
    bounds = [plain(bound) for bound in data[kind]]
    here, whole = places.at((*path, kind)), kind in ("int", "log_int")
    if len(bounds) != 2 or not all(is_number(bound) for bound in bounds):
        raise problem(here, f"found {kind}: {show(list(bounds))}", allowed=f"two numbers, {{{kind}: [low, high]}}")
    if whole and not all(float(bound).is_integer() for bound in bounds):
        raise problem(here, f"found {kind}: {show(list(bounds))}", allowed="whole numbers")
    low, high = (int(b) if whole else float(b) for b in bounds)
    if not low < high:
        what = f"low {low!r} is not below high {high!r}"
        raise problem(here, what, allowed=f"{{{kind}: [low, high]}} with low < high; a single value is written {low!r}")
    if kind in ("log", "log_int") and low <= 0:
        raise problem(here, f"low is {low!r}", allowed="numbers above 0, since the scale is logarithmic")
    return Range(
        kind, low, high, _step(data["step"], low, high, whole, (*path, "step"), places) if "step" in data else None
    )


def _step(step: Any, low: float, high: float, whole: bool, path: Path, places: Places) -> int | float:
    step = plain(step)
    if not is_number(step) or step <= 0 or (whole and not float(step).is_integer()):
        raise problem(
            places.at(path), f"found step: {show(step)}", allowed=f"a {'whole ' if whole else ''}number above 0"
        )
    number: int | float = int(step) if whole else float(step)
    steps = (high - low) / number
    if steps < 1 - 1e-9 or abs(steps - round(steps)) > 1e-6:
        last = low + math.floor(steps + 1e-9) * number
        reach = f"an end that the steps reach, such as {float(f'{last:.12g}'):g}" if steps >= 1 else "a smaller step"
        raise problem(places.at(path), f"steps of {number!r} from {low!r} do not reach {high!r}", allowed=reach)
    return number


def _choice(data: Any, path: Path, places: Places) -> Choice:
    if not data:
        raise problem(places.at(path), "found an empty list", allowed="at least one option")
    options: list[Option] = []
    found: list[Range | None] = []
    for index, item in enumerate(data):
        option = _option(plain(item), (*path, index), places)
        options.append(option)
        found.append(option.node if isinstance(option.node, Range) else None)
    taken = [option.label for option, one in zip(options, found, strict=True) if one is None]
    kinds = [one.kind for one in found if one is not None]
    for index, one in enumerate(found):
        if one is not None:
            short = one.kind if kinds.count(one.kind) == 1 and one.kind not in taken else options[index].label
            options[index] = Option(short, one)
    for index in range(len(options)):
        _distinct(options, index, path, places)
    return Choice(tuple(options))


def _distinct(options: list[Option], index: int, path: Path, places: Places) -> None:
    option = options[index]
    for other in options[:index]:
        if other.label == option.label:
            what = f"the option {option.label!r} is given twice"
            raise problem(places.at((*path, index)), what, allowed="options with different labels")
        pair = (option.node, other.node)
        if isinstance(pair[0], Range) and isinstance(pair[1], Range):
            overlap = pair[0].is_int == pair[1].is_int and pair[0].low <= pair[1].high and pair[1].low <= pair[0].high
        else:
            ranged, single = pair if isinstance(pair[0], Range) else (pair[1], pair[0])
            overlap = isinstance(ranged, Range) and isinstance(single, Constant) and ranges.holds(ranged, single.value)
        if overlap:
            what = f"the options {other.label!r} and {option.label!r} have values in common"
            raise problem(places.at((*path, index)), what, allowed="options that a value can be told apart by")


def range_label(node: Range) -> str:
    """The long label of a range among the options of a choice."""
    step = "" if node.step is None else f" step {node.step!r}"
    return f"{node.kind} {node.low!r} to {node.high!r}{step}"


def _option(data: Any, path: Path, places: Places) -> Option:
    allowed = "a value, a range, or {label: {parameter: ...}}"
    if isinstance(data, (list, tuple)):
        raise problem(places.at(path), f"found the list {show(data)} as an option", allowed=allowed)
    if not isinstance(data, Mapping):
        value = _scalar(data, path, places, allowed)
        return Option(label_of(value), Constant(value))
    if _is_range(data):
        ranged = _range(data, path, places)
        return Option(range_label(ranged), ranged)
    if len(data) != 1:
        what = f"found an option with {len(data)} keys ({', '.join(str(key) for key in data)})"
        raise problem(places.at(path), what, allowed="one key, {label: {parameter: ...}}")
    ((label, inner),) = data.items()
    label, inner = _name(label, path, places), plain(inner)
    if label == "any_of" and isinstance(inner, (list, tuple)):
        what = "'any_of' stands among the options of a list"
        raise problem(places.at((*path, label)), what, allowed="NAME: {any_of: [...]}, which may be none by itself")
    if not isinstance(inner, Mapping):
        what = f"found {show(inner)} as the parameters of {label!r}"
        raise problem(places.at((*path, label)), what, allowed=f"{{{label}: {{parameter: ...}}}}, or just {label}")
    node = _mapping(inner, (*path, label), places)
    if not isinstance(node, Group):
        what = f"found {show(dict(inner))} as the parameters of {label!r}"
        raise problem(places.at((*path, label)), what, allowed=f"named parameters, {{{label}: {{parameter: ...}}}}")
    return Option(label, node)


def same(left: Any, right: Any) -> bool:
    """Whether two plain values are equal and of the same type."""
    if type(left) in _PLAIN and type(right) in _PLAIN:  # as by `typed`, which takes ten times as long
        if type(left) is not type(right) or left != right:
            return bool(left != left and right != right)  # not a number is the same as itself
        return bool(left) or repr(left) == repr(right)  # two zeros may differ in their sign
    return bool(typed(left) == typed(right))
