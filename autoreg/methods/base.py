"""How a method declares itself: a class of typed, bounded parameters. Loads without torch."""

from __future__ import annotations

import dataclasses
import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar, dataclass_transform

from autoreg.errors import InputError
from autoreg.methods.discovery import METHOD_KINDS, from_recipe, nearest, register, spec_of
from autoreg.space.spec import MethodSpec, Paper, Param

T = TypeVar("T")

HOOKS = ("prepare", "batch", "observe", "loss", "gradient", "after_step", "finish")
"""The places in training where a method may act, in the order in which a step meets them."""


@dataclass_transform(kw_only_default=True, frozen_default=True)
def method(  # many arguments: all that a method declares of itself, each by its name
    name: str,
    *,
    kind: str,
    paper: Paper | None = None,
    catalogue: Sequence[int] = (),
    conflicts: Sequence[tuple[str, str]] = (),
    passes: int = 1,
    trains: bool = False,
    resumable: bool = True,
    phrase: Sequence[str] | None = None,
) -> Callable[[type[T]], type[T]]:
    """Declare a class as a method: a frozen dataclass of its parameters, known by `kind` and `name`.

    Parameters are class attributes declared with `uniform`, `log`, `integer`, `choice`, `fixed` or `slot`; other
    annotated attributes must be `ClassVar`. Values are checked when an instance is made; a method named `check`
    is called then, too, for rules between parameters. Instances keep no state of a run: that lives in
    `state.scratch`. A class may lack a paper here, `check_method` asks for one.

    Args:
        name: unique among methods of the kind; `none` is reserved for "no method".
        kind: one of `METHOD_KINDS`.
        paper: where the method comes from.
        catalogue: numbers of the rows of the catalogue that describe or use the mechanism.
        conflicts: pairs (expression over the recipe that must not hold, reason); `this` stands for the method's place.
        passes: gradient computations per training step while the method is active.
        trains: whether a quantizer needs epochs of its own.
        resumable: whether a training with the method can be stored midway and gone on with, to another length: the
            method reads neither `state.epochs` nor `state.progress`, and keeps what changes from step to step in
            `state.scratch`, as tensors, numbers, and lists and mappings of them.
        phrase: how a report words it, see `autoreg.space.spec.MethodSpec`; by default its name and its values.

    Raises:
        InputError: if kind or name is wrong, a parameter is declared wrongly, or another class has the name.

    Example:
        >>> from autoreg.methods import Paper, create, log, method
        >>> @method("shrink", kind="regularizer", paper=Paper("An example", "Nobody", 2024))
        ... class Shrink:
        ...     '''Pull every weight to zero.'''
        ...     strength: float = log(1e-4, 1e-1)
        >>> create("regularizer", "shrink", {"strength": 0.01})
        Shrink(strength=0.01)
    """

    declared = MethodSpec(
        name=name,
        kind=kind,
        catalogue=tuple(catalogue),
        paper=paper,
        conflicts=tuple(conflicts),
        passes=passes,
        trains=trains,
        resumable=resumable,
        phrase=None if phrase is None else tuple(phrase),
    )
    return lambda cls: _declare(cls, declared)


def _declare(cls: type[T], declared: MethodSpec) -> type[T]:
    """Make a dataclass of a class and register it, with what is read off the class itself."""
    place = f"method {declared.name!r} ({cls.__module__}.{cls.__qualname__})"
    _check_declaration(cls, place, declared.name, declared.kind)
    spec = replace(
        declared,
        params=_take_parameters(cls, place),
        summary=_summary(cls),
        hooks=tuple(hook for hook in HOOKS if callable(getattr(cls, hook, None))),
    )
    setattr(cls, "spec", spec)  # noqa: B010  (an attribute that T does not declare)
    setattr(cls, "__post_init__", _check_values)  # noqa: B010
    made = dataclasses.dataclass(frozen=True, kw_only=True)(cls)
    register(declared.kind, declared.name, made)
    return made


def _summary(cls: type[Any]) -> str:
    """The first paragraph of a class's docstring, in one line."""
    return " ".join(inspect.cleandoc(cls.__doc__ or "").split("\n\n")[0].split())


def check_value(place: str, param: Param, value: Any) -> Any:
    """Return a parameter's value if it is allowed; integers become floats where floats are asked.

    Raises:
        InputError: naming place, value and what is allowed.
    """
    if param.per_layer and isinstance(value, Mapping):
        patterns = value.get("per_layer") if set(value) == {"per_layer"} else None
        if not isinstance(patterns, Mapping) or not patterns:
            raise InputError(f"{place} = {value!r}; allowed: a value or {{per_layer: {{pattern: value}}}}")
        checked = {p: _check_scalar(f"{place}.per_layer[{p!r}]", param, v) for p, v in patterns.items()}
        return {"per_layer": checked}
    return _check_scalar(place, param, value)


def _check_scalar(place: str, param: Param, value: Any) -> Any:
    if param.options is not None:
        if not any(type(value) is type(option) and value == option for option in param.options):
            near = nearest(str(value), [str(o) for o in param.options])
            raise InputError(f"{place} = {value!r}; allowed: {', '.join(map(str, param.options))}{near}")
        return value
    allowed: dict[str, tuple[type, ...]] = {"float": (int, float), "int": (int,), "bool": (bool,), "str": (str,)}
    right = isinstance(value, allowed[param.type]) and (param.type == "bool" or not isinstance(value, bool))
    if param.type in ("bool", "str"):
        if not right:
            raise InputError(f"{place} = {value!r}; allowed: a {param.type}")
        return value
    if not right or not math.isfinite(value) or not param.low <= value <= param.high:
        kind = "a whole number" if param.type == "int" else "a number"
        raise InputError(f"{place} = {value!r}; allowed: {kind} from {param.low:g} to {param.high:g}")
    return float(value) if param.type == "float" else value


def _check_values(self: Any) -> None:
    spec = spec_of(self)
    for name, param in spec.params.items():
        place = f"{spec.kind} {spec.name!r}: {name}"
        value = getattr(self, name)
        checked = _check_slot(place, param, value) if param.type == "slot" else check_value(place, param, value)
        object.__setattr__(self, name, checked)
    check = getattr(self, "check", None)
    if callable(check):
        check()


def _check_slot(place: str, param: Param, value: Any) -> Any:
    kind = str(param.slot_kind)
    spec = getattr(value, "spec", None)
    if isinstance(spec, MethodSpec):
        if spec.kind != kind:
            raise InputError(f"{place} is {spec.name!r}, a {spec.kind}; allowed: a {kind}")
        return value
    return None if value is None else from_recipe(kind, value)


def _check_declaration(cls: type[Any], place: str, name: str, kind: str) -> None:
    if kind not in METHOD_KINDS:
        raise InputError(
            f"{place}: kind {kind!r} is unknown; allowed: {', '.join(METHOD_KINDS)}{nearest(kind, METHOD_KINDS)}"
        )
    if not name or name == "none" or "." in name:
        raise InputError(f"{place}: a name may not be empty, `none` or hold a dot")
    for needed in METHOD_KINDS[kind]:
        if not hasattr(cls, needed):
            raise InputError(f"{place}: a {kind} must define `{needed}`")


def _take_parameters(cls: type[Any], place: str) -> dict[str, Param]:
    """Read the declared parameters off the class and leave their plain defaults in their place."""
    params: dict[str, Param] = {}
    annotations: dict[str, Any] = {}
    for base in reversed(cls.__mro__[:-1]):  # a plain base class may declare what several methods share
        annotations |= inspect.get_annotations(base)
    for name, annotation in annotations.items():
        declared = getattr(cls, name, None)
        if isinstance(declared, Param):
            params[name] = declared
            setattr(cls, name, declared.default)  # a slot's name becomes an instance when one is made
        elif "ClassVar" not in str(annotation):
            raise InputError(
                f"{place}: {name} is no parameter; declare it with uniform, log, integer, choice, fixed or slot, "
                "or annotate it as ClassVar"
            )
    # only these become fields: a dataclass knows a ClassVar of a base only where its own module has that name
    cls.__annotations__ = {name: annotations[name] for name in params}
    for name, value in cls.__dict__.items():
        if isinstance(value, Param):
            raise InputError(f"{place}: {name} needs an annotation, as in `{name}: float = log(1e-5, 1e-2)`")
    return params
