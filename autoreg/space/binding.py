"""Binding a tree to a registry: every name, value and bound is checked, what is silent is filled in."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from autoreg.space import ranges
from autoreg.space.defaults import Defaults
from autoreg.space.expression import Expression
from autoreg.space.layers import LayerInfo, check_cover, check_pattern
from autoreg.space.nodes import AnyOf, Choice, Constant, EveryLayer, Group, Node, Option, PerLayer, Range, thaw
from autoreg.space.parser import parse_node, same
from autoreg.space.paths import child, in_expression
from autoreg.space.problems import Path, Places, problem, show
from autoreg.space.rules import Rule
from autoreg.space.spec import MethodSpec, Param, Registry, Section, label_of

_MAX_DEPTH = 12


@dataclass(frozen=True)
class Spot:
    """A place in the input and in the space: `path` into the data, `name` as parameters are named."""

    path: Path = ()
    name: str = ""
    depth: int = 0

    def down(self, part: str, *path: str | int) -> Spot:
        """The spot of what stands under the name `part` (under `path` in the data, if it differs)."""
        return Spot(self.path + (path or (part,)), child(self.name, part), self.depth + 1)


@dataclass
class Binder:
    """Checks and completes a tree against one registry; collects the rules of the methods it meets.

    With `vary` false (a recipe), parameters that are not mentioned take their default value instead
    of their default range.
    """

    registry: Registry
    layers: Sequence[LayerInfo] = ()
    places: Places = field(default_factory=Places)
    vary: bool = True
    rules: list[Rule] = field(default_factory=list)
    gradient_owners: list[tuple[str, str]] = field(default_factory=list)

    def root(self, root: Group, defaults: Mapping[str, Any]) -> Group:
        """Bind a whole space; `defaults` overrides defaults of sections by dotted name."""
        tree = self._section(Section(self.registry.sections), root, Spot(), Defaults.of(defaults, self.registry))
        assert isinstance(tree, Group)
        for one, other in itertools.combinations(dict.fromkeys(self.gradient_owners), 2):
            both = " and ".join(f"{json.dumps(name)} in {in_expression(slot)}" for slot, name in (one, other))
            reason = f"{one[1]} and {other[1]} both replace the gradient of a step: at most one method may"
            self.rules.append(Rule(Expression.parse(both, "methods with the hook gradient"), reason))
        return tree

    def _section(self, section: Section, node: Node | None, spot: Spot, defaults: Defaults) -> Node:
        if node is not None and not isinstance(node, Group):
            names = ", ".join(section.items)
            what = f"found {_found(node)} where a section is expected"
            raise problem(self.places.at(spot.path), what, allowed=f"a mapping with {names}")
        given = dict(node.items) if node is not None else {}
        self._known(given, list(section.items), spot, "section" if spot.name else "name")
        items: list[tuple[str, Node]] = []
        for name, item in section.items.items():
            here = spot.down(name)
            if isinstance(item, Section):
                if name in given or not item.optional:
                    items.append((name, self._section(item, given.get(name), here, defaults)))
            elif name in given:
                items.append((name, self.param(item, given[name], here)))
            elif not item.optional or here.name in defaults.given:
                items.append((name, self._default(item, here, defaults)))
        return Group(tuple(items))

    def _known(self, given: Mapping[str, Node], allowed: list[str], spot: Spot, kind: str) -> None:
        for name in given:
            if name not in allowed:
                what = f"unknown {kind} {name!r}" if kind != "section" else f"unknown name {name!r} in {spot.name}"
                raise problem(self.places.at((*spot.path, name)), what, allowed=allowed, wrong=name)

    def _default(self, param: Param, spot: Spot, defaults: Defaults) -> Node:
        value, places = defaults.take(spot.name, param.default)
        binder = replace(self, places=places, vary=False)  # shares the list of rules
        return binder.param(param, parse_node(_plain_default(value), (), places), Spot((), spot.name, spot.depth))

    def param(self, param: Param, node: Node, spot: Spot) -> Node:
        """Bind what is given for one parameter."""
        if isinstance(node, EveryLayer) and isinstance(node.node, Group) and "each_layer" in self._methods(param):
            node = Group((("each_layer", node.node),))  # in this slot the word is the name of a method
        if isinstance(node, (PerLayer, EveryLayer)):
            return self._by_layer(param, node, spot)
        if param.type == "slot":
            return self._slot(param, node, spot)
        if isinstance(node, Constant):
            return self._value(param, node, spot)
        if isinstance(node, Range):
            return self._range(param, node, spot)
        if isinstance(node, Choice):
            options = []
            for index, option in enumerate(node.options):
                here = Spot((*spot.path, index), spot.name, spot.depth)
                if isinstance(option.node, Group):
                    raise problem(
                        self.places.at(here.path), f"found {_found(option.node, option.label)}", allowed=_allowed(param)
                    )
                bound = self.param(param, option.node, here)
                assert isinstance(bound, (Constant, Range))
                options.append(Option(_label(bound, option), bound))
            return Choice(tuple(options))
        names = [name for name, _ in node.items]
        raise problem(
            self.places.at(spot.path + tuple(names[:1])),
            f"found {_found(node)} where a {_WORDS[param.type]} is expected",
            allowed=_allowed(param),
            wrong=names[0] if names else None,
            near=("uniform", "log", "int", "log_int", "value", "per_layer", "each_layer"),
        )

    def _by_layer(self, param: Param, node: PerLayer | EveryLayer, spot: Spot) -> Node:
        if not param.per_layer:
            word = "per_layer" if isinstance(node, PerLayer) else "each_layer"
            what = f"found {word}, but all layers share one value here"
            raise problem(self.places.at((*spot.path, word)), what, allowed=_allowed(param))
        if isinstance(node, EveryLayer):
            bound = self.param(param, node.node, Spot((*spot.path, "each_layer"), spot.name, spot.depth))
            return PerLayer(tuple((layer.name, bound) for layer in self.layers)) if self.layers else EveryLayer(bound)
        patterns = [pattern for pattern, _ in node.patterns]
        if self.layers:
            for index, pattern in enumerate(patterns):
                place = self.places.at((*spot.path, "per_layer", pattern))
                check_pattern(pattern, patterns[:index], self.layers, place)
            check_cover(patterns, self.layers, self.places.at((*spot.path, "per_layer")))
        spots = [Spot((*spot.path, "per_layer", pattern), spot.name, spot.depth) for pattern in patterns]
        bound_nodes = [self.param(param, inner, here) for (_, inner), here in zip(node.patterns, spots, strict=True)]
        return PerLayer(tuple(zip(patterns, bound_nodes, strict=True)))

    def _value(self, param: Param, node: Constant, spot: Spot) -> Constant:
        value = thaw(node.value)
        if param.type == "float" and type(value) is int:
            value = float(value)
        right = {"float": float, "int": int, "bool": bool, "str": str}.get(param.type)
        wrong = value if isinstance(value, str) else None
        options = None if param.options is None else [label_of(option) for option in param.options]
        if right is not None and type(value) is not right and not _among(value, param):
            what = f"found {show(value)} where a {_WORDS[param.type]} is expected"
            raise problem(self.places.at(spot.path), what, allowed=options or _allowed(param), wrong=wrong)
        if options is not None and not _among(value, param):
            what = f"found {show(value)}"
            raise problem(self.places.at(spot.path), what, allowed=options, wrong=wrong)
        if type(value) in (int, float) and not param.low <= value <= param.high:
            what = f"found {show(value)}, which is out of bounds"
            raise problem(self.places.at(spot.path), what, allowed=_allowed(param))
        return Constant(value)

    def _range(self, param: Param, node: Range, spot: Spot) -> Range:
        place, shown = self.places.at((*spot.path, node.kind)), f"{{{node.kind}: [{node.low:g}, {node.high:g}]}}"
        if param.options is not None:
            finite = node.is_int and ranges.count(node) <= 64
            if not finite or not all(_among(value, param) for value in ranges.values(node)):
                labels = [label_of(option) for option in param.options]
                raise problem(
                    place, f"found the range {shown}, which holds other values than the allowed", allowed=labels
                )
            return node
        kinds = {"float": ("uniform", "log"), "int": ("int", "log_int")}.get(param.type)
        if kinds is None:
            raise problem(place, f"found the range {shown}", allowed=_allowed(param))
        if node.kind not in kinds:
            what = f"found the range {shown} where a {_WORDS[param.type]} is expected"
            raise problem(place, what, allowed=f"a range of kind {' or '.join(kinds)}")
        if node.low < param.low or node.high > param.high:
            raise problem(place, f"the range {shown} is out of bounds", allowed=_allowed(param))
        return node

    def _slot(self, param: Param, node: Node, spot: Spot) -> Choice | AnyOf:
        if isinstance(node, AnyOf) or (param.several and isinstance(node, Group) and len(node.items) > 1):
            return self._several(param, node, spot)
        options: tuple[Option, ...]
        if isinstance(node, Choice):
            options = node.options
            paths: list[Path] = [(*spot.path, index) for index in range(len(options))]
        elif isinstance(node, Group) and len(node.items) == 1 and isinstance(node.items[0][1], Group):
            options, paths = (Option(node.items[0][0], node.items[0][1]),), [spot.path]
        elif isinstance(node, Constant):
            options, paths = (Option(label_of(node.value), node),), [spot.path]
        else:
            methods = self._names(param)
            first = node.items[0][0] if isinstance(node, Group) and node.items else None
            if isinstance(node, Group) and first in methods and len(node.items) == 1:
                what = f"found {_found(node.items[0][1])} as the parameters of {first!r}"
                known = ", ".join(f"{key}: ..." for key in self._methods(param).get(first, MethodSpec("", "")).params)
                raise problem(
                    self.places.at((*spot.path, first)), what, allowed=f"{{{first}: {{{known}}}}}, or just {first}"
                )
            what = f"found {_found(node)} where a method is expected"
            allowed = f"a method, {{method: {{parameter: ...}}}}, or a list of them; methods: {', '.join(methods)}"
            near = [*methods, *(["any_of"] if param.several else [])]
            raise problem(self.places.at(spot.path), what, allowed=allowed, wrong=first, near=near)
        bound = [self._method(param, o, Spot(p, spot.name, spot.depth)) for o, p in zip(options, paths, strict=True)]
        return Choice(tuple(bound))

    def _several(self, param: Param, node: AnyOf | Group, spot: Spot) -> AnyOf:
        """Bind methods that are in or out one by one, or (a mapping of several) that are all in."""
        if not param.several:
            what = f"found any_of, but there is one {param.slot_kind} at a time"
            raise problem(self.places.at((*spot.path, "any_of")), what, allowed="a list of methods")
        open_ = isinstance(node, AnyOf) and not node.all_in
        bound: list[tuple[str, Group]] = []
        for index, (name, inner) in enumerate(node.items):
            path = (*spot.path, "any_of", index) if open_ else spot.path
            if name == "none" or (not isinstance(inner, Group) and name in self._methods(param)):
                what = "found none among several" if name == "none" else f"found {_found(inner)} for {name!r}"
                raise problem(self.places.at((*path, name)), what, allowed="methods, {method: {parameter: ...}}")
            option = self._method(
                param, Option(name, inner if isinstance(inner, Group) else Group(())), Spot(path, spot.name, spot.depth)
            )
            assert isinstance(option.node, Group)
            bound.append((name, option.node))
        return AnyOf(tuple(bound), node.at_most if isinstance(node, AnyOf) else None, not open_)

    def _methods(self, param: Param) -> Mapping[str, MethodSpec]:
        return self.registry.methods.get(param.slot_kind or "", {})

    def _names(self, param: Param) -> list[str]:
        methods = self._methods(param)
        return [*methods, *(["none"] if param.default == "none" and "none" not in methods else [])]

    def _method(self, param: Param, option: Option, spot: Spot) -> Option:
        methods = self._methods(param)
        node = option.node
        names = self._names(param)
        if isinstance(node, Range) or (isinstance(node, Constant) and not isinstance(node.value, str)):
            what = f"found {_found(node)} where a method is expected"
            raise problem(self.places.at(spot.path), what, allowed=names)
        name = node.value if isinstance(node, Constant) else option.label
        if name not in names:
            place = self.places.at(spot.path if isinstance(node, Constant) else (*spot.path, name))
            near = ["any_of"] if param.several else []
            raise problem(place, f"unknown {param.slot_kind} {name!r}", allowed=names, wrong=name, near=near)
        given = dict(node.items) if isinstance(node, Group) else {}
        inside = Spot((*spot.path, name), child(spot.name, name), spot.depth + 1)
        spec = methods.get(name, MethodSpec("none", param.slot_kind or ""))
        self._known_params(given, spec, inside)
        if name == "none":
            return Option("none", Constant("none"))
        if spot.depth > _MAX_DEPTH:
            raise problem(self.places.at(spot.path), f"methods within methods without end at {spot.name}")
        if "gradient" in spec.hooks:
            self.gradient_owners.append((spot.name, name))
        items = []
        for key, inner in spec.params.items():
            items.append((key, self._parameter(inner, given.get(key), inside.down(key))))
        for text, reason in spec.conflicts:
            # wherever in a recipe this method stands
            text = re.sub(r"\bthis\.", f"{in_expression(inside.name)}.", text)
            expression = Expression.parse(text, f"the {spec.kind} {spec.name}")
            self.rules.append(Rule(expression, reason or expression.text, (spot.name, name)))
        return Option(name, Group(tuple(items)))

    def _known_params(self, given: Mapping[str, Node], spec: MethodSpec, inside: Spot) -> None:
        for key in given:
            if key not in spec.params:
                what = f"unknown parameter {key!r} of the {spec.kind} {spec.name!r}"
                raise problem(self.places.at((*inside.path, key)), what, allowed=list(spec.params), wrong=key)

    def _parameter(self, param: Param, node: Node | None, spot: Spot) -> Node:
        if node is not None:
            return self.param(param, node, spot)
        if not self.vary:
            return self._default(param, spot, Defaults({}, Places()))
        return replace(self, places=Places("the registry")).param(param, param.node, Spot((), spot.name, spot.depth))


def _plain_default(value: Any) -> Any:
    return {"value": value} if isinstance(value, (list, tuple)) else value


def _among(value: Any, param: Param) -> bool:
    return param.options is not None and any(same(value, option) for option in param.options)


def _label(bound: Constant | Range, option: Option) -> str:
    return label_of(bound.value) if isinstance(bound, Constant) else option.label


_WORDS = {"float": "number", "int": "whole number", "bool": "truth value", "str": "word", "slot": "method"}


def _found(node: Node, label: str | None = None) -> str:
    if label is not None:
        return f"the labelled option {label!r}"
    if isinstance(node, Constant):
        return show(thaw(node.value))
    if isinstance(node, Group):
        return "the mapping {" + ", ".join(f"{name}: ..." for name, _ in node.items) + "}"
    if isinstance(node, Range):
        return f"the range {{{node.kind}: [{node.low:g}, {node.high:g}]}}"
    return {Choice: "a list", AnyOf: "any_of"}.get(type(node), "values by layer")


def _allowed(param: Param) -> str:
    if param.options is not None:
        return ", ".join(label_of(option) for option in param.options)
    if param.type in ("float", "int"):
        word = _WORDS[param.type] + "s"
        infinite = (param.low == float("-inf"), param.high == float("inf"))
        if infinite == (True, True):
            return word
        low = "" if infinite[0] else f" from {param.low:g}"
        return f"{word}{low}" + ("" if infinite[1] else f" to {param.high:g}")
    return {"bool": "true or false", "str": "a word", "slot": "a method"}[param.type]
