"""What a method declares: its name, kind, parameters, source and rules. Loads without torch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from autoreg.space.nodes import Choice, Constant, Group, Node, Option, Range, Scalar

ParamType = Literal["float", "int", "bool", "str", "slot"]


@dataclass(frozen=True)
class Paper:
    """Where a method comes from; `checked` says what was verified against what."""

    title: str
    authors: str
    year: int
    arxiv: str | None = None
    doi: str | None = None
    checked: str = ""


@dataclass(frozen=True)
class Param:
    """One parameter of a method or of a section.

    `node` is the range searched by default, `default` the value a recipe takes when it is silent,
    `low` and `high` bound what is allowed at all (both included), `options` lists the allowed
    values of a choice. A parameter of type `slot` is itself a choice among the methods of
    `slot_kind`. `per_layer` says whether it may be given layer by layer. What is `optional` stands
    only in recipes that mention it; what reads it knows the default. A slot with `several` takes several methods.
    """

    node: Node
    default: Any
    type: ParamType
    low: float = -math.inf
    high: float = math.inf
    options: tuple[Scalar, ...] | None = None
    slot_kind: str | None = None
    per_layer: bool = False
    doc: str = ""
    optional: bool = False
    several: bool = False


@dataclass(frozen=True)
class Section:
    """Named parameters and sections that are always present (`training`, `quantization.weights`).

    One that is `optional` stands only in recipes that mention it; what reads it knows what its absence means.
    """

    items: Mapping[str, Param | Section]
    doc: str = ""
    optional: bool = False


@dataclass(frozen=True)
class MethodSpec:
    """What one method declares.

    `hooks` names the places in training where it acts. `conflicts` lists rules as pairs
    (expression over the whole recipe, reason): a recipe for which the expression holds is refused; `this` stands for
    the method's own place in the recipe.
    `passes` is the number of gradient computations per training step while the method is active,
    `trains` says whether a quantizer needs epochs of its own, `resumable` whether a training with the method can be
    stored midway and gone on with, to another length. `phrase` says how a report words the method: parts with
    `{parameter}` filled in (`{parameter:%}` as a percentage); a part is left out when one of its parameters is absent
    or not mentioned. A method without parts is not mentioned; None is its name with all values.
    """

    name: str
    kind: str
    params: Mapping[str, Param] = field(default_factory=dict)
    summary: str = ""
    catalogue: tuple[int, ...] = ()
    paper: Paper | None = None
    hooks: tuple[str, ...] = ()
    conflicts: tuple[tuple[str, str], ...] = ()
    passes: int = 1
    trains: bool = False
    resumable: bool = True
    phrase: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Registry:
    """All that a space may name: methods by kind and name, and the top-level sections."""

    methods: Mapping[str, Mapping[str, MethodSpec]]
    sections: Mapping[str, Param | Section]


def uniform(
    low: float,
    high: float,
    *,
    default: float | None = None,
    min: float = -math.inf,
    max: float = math.inf,
    per_layer: bool = False,
    doc: str = "",
) -> Any:
    """A float searched uniformly in [low, high]; `min` and `max` bound what is allowed at all."""
    value = (low + high) / 2 if default is None else default
    return Param(Range("uniform", low, high), value, "float", min, max, per_layer=per_layer, doc=doc)


def log(
    low: float,
    high: float,
    *,
    default: float | None = None,
    min: float = 0.0,
    max: float = math.inf,
    per_layer: bool = False,
    doc: str = "",
) -> Any:
    """A positive float searched uniformly in its logarithm in [low, high]."""
    value = math.sqrt(low * high) if default is None else default
    return Param(Range("log", low, high), value, "float", min, max, per_layer=per_layer, doc=doc)


def integer(
    low: int,
    high: int,
    *,
    default: int | None = None,
    min: int | None = None,
    max: float = math.inf,
    per_layer: bool = False,
    doc: str = "",
) -> Any:
    """A whole number searched uniformly in [low, high]."""
    value = low if default is None else default
    return Param(Range("int", low, high), value, "int", low if min is None else min, max, per_layer=per_layer, doc=doc)


def choice(*options: Scalar, default: Scalar | None = None, per_layer: bool = False, doc: str = "") -> Any:
    """One of the plain values `options`; the first is the default."""
    node = Choice(tuple(Option(label_of(o), Constant(o)) for o in options))
    first = options[0] if default is None else default
    kinds: dict[type, ParamType] = {bool: "bool", int: "int", float: "float", str: "str"}
    return Param(node, first, kinds[type(first)], options=tuple(options), per_layer=per_layer, doc=doc)


def fixed(value: Scalar, *, min: float = -math.inf, max: float = math.inf, doc: str = "") -> Any:
    """A value that is not searched unless a space says so."""
    kinds: dict[type, ParamType] = {bool: "bool", int: "int", float: "float", str: "str"}
    return Param(Constant(value), value, kinds[type(value)], min, max, doc=doc)


def slot(kind: str, *names: str, default: str = "none", several: bool = False, doc: str = "") -> Any:
    """A choice among the methods of `kind`, searched over `names` by default; with `several` it takes more than one."""
    node = Choice(tuple(Option(n, Group(())) for n in names)) if names else Constant(default)
    return Param(node, default, "slot", slot_kind=kind, doc=doc, several=several)


def label_of(value: Scalar) -> str:
    """The label of a plain value in a choice: as YAML writes it (`true`, `0.5`, `none`)."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
