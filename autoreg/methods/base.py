"""How a method declares itself, and how one is found and built by name. Loads without torch."""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import importlib
import importlib.metadata
import inspect
import math
import pkgutil
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar, cast, dataclass_transform

from autoreg.errors import InputError
from autoreg.space.spec import MethodSpec, Paper, Param, Registry

T = TypeVar("T")

ENTRY_POINTS = "autoreg.methods"

HOOKS = ("prepare", "batch", "observe", "loss", "gradient", "after_step", "finish")
"""The places in training where a method may act, in the order in which a step meets them."""

METHOD_KINDS: Mapping[str, tuple[str, ...]] = {
    "regularizer": (),
    "noise": (),
    "reparam": (),
    "structure": (),
    "criterion": ("score",),
    "allocation": ("levels",),
    "rank": ("ranks",),
    "schedule": ("fraction",),
    "quantizer": (),
    "train": ("select",),
    "drop": ("select",),
}
"""The kinds of method, each with the functions that a method of that kind must define."""

_CLASSES: dict[tuple[str, str], type[Any]] = {}
_FOUND: set[str] = set()


@dataclass_transform(kw_only_default=True, frozen_default=True)
def method(
    name: str,
    *,
    kind: str,
    paper: Paper | None = None,
    catalogue: Sequence[int] = (),
    conflicts: Sequence[tuple[str, str]] = (),
    passes: int = 1,
    trains: bool = False,
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
        conflicts: pairs (expression over the recipe that must not hold, reason).
        passes: gradient computations per training step while the method is active.
        trains: whether a quantizer needs epochs of its own.

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

    def declare(cls: type[T]) -> type[T]:
        place = f"method {name!r} ({cls.__module__}.{cls.__qualname__})"
        _check_declaration(cls, place, name, kind)
        params = _take_parameters(cls, place)
        text = inspect.cleandoc(cls.__doc__ or "").split("\n\n")[0]
        spec = MethodSpec(
            name=name,
            kind=kind,
            params=params,
            summary=" ".join(text.split()),
            catalogue=tuple(catalogue),
            paper=paper,
            hooks=tuple(hook for hook in HOOKS if callable(getattr(cls, hook, None))),
            conflicts=tuple(conflicts),
            passes=passes,
            trains=trains,
        )
        setattr(cls, "spec", spec)  # noqa: B010  (an attribute that T does not declare)
        setattr(cls, "__post_init__", _check_values)  # noqa: B010
        made = dataclasses.dataclass(frozen=True, kw_only=True)(cls)
        _register(kind, name, made)
        return made

    return declare


def registry() -> Registry:
    """Return the specifications of all methods, of this package and of installed entry points. Imports no torch.

    Raises:
        InputError: if a module that an entry point names cannot be imported.
    """
    from autoreg.methods.sections import SECTIONS

    _discover()
    methods: dict[str, dict[str, MethodSpec]] = {kind: {} for kind in METHOD_KINDS}
    for (kind, name), cls in sorted(_CLASSES.items()):
        methods[kind][name] = spec_of(cls)
    return Registry(methods=methods, sections=SECTIONS)


def foreign_sources() -> str:
    """Digest of the sources of all methods that come from outside of the package; empty where there are none.

    What was computed with a method must not be taken for the result of another version of it.
    """
    found = {}
    for (kind, name), cls in sorted(_CLASSES.items()):
        if not cls.__module__.startswith("autoreg."):
            try:
                found[f"{kind}.{name}"] = inspect.getsource(sys.modules[cls.__module__])
            except (OSError, TypeError):  # typed in, without a file: its class is all there is
                found[f"{kind}.{name}"] = repr(sorted(vars(cls)))
    return hashlib.sha256(repr(sorted(found.items())).encode()).hexdigest() if found else ""


def method_class(kind: str, name: str) -> type[Any]:
    """Return the class of a method.

    Raises:
        InputError: if there is no such kind or name; the message has the nearest right one.
    """
    _discover()
    if kind not in METHOD_KINDS:
        raise InputError(
            f"kind of method {kind!r} is unknown; allowed: {', '.join(METHOD_KINDS)}{_nearest(kind, METHOD_KINDS)}"
        )
    if (kind, name) not in _CLASSES:
        names = sorted(n for k, n in _CLASSES if k == kind)
        raise InputError(f"{kind}: {name!r} is unknown; allowed: {', '.join(['none', *names])}{_nearest(name, names)}")
    return _CLASSES[kind, name]


def create(kind: str, name: str, params: Mapping[str, Any] | None = None) -> Any:
    """Build a method from its name and parameters, as a recipe holds them; missing ones take their defaults.

    Parameters that are slots may be given as in a recipe (`{"erk": {}}`, `"erk"`) or as an instance.

    Returns:
        The instance, or None for the name `none`.

    Raises:
        InputError: if the name is unknown or a parameter is unknown, of a wrong type or out of bounds.

    Example:
        >>> create("structure", "weight", {"allocation": {"erk": {}}, "amount": 0.8}).allocation
        Erk()
    """
    params = dict(params or {})
    if name == "none":
        if params:
            raise InputError(f"{kind}: none takes no parameters; found {', '.join(map(str, params))}")
        return None
    cls = method_class(kind, name)
    known = spec_of(cls).params
    for key in params:
        if key not in known:
            allowed = ", ".join(known) or "none"
            raise InputError(f"{kind} {name!r}: unknown parameter {key!r}; allowed: {allowed}{_nearest(key, known)}")
    return cls(**params)


def from_recipe(kind: str, value: Any) -> Any:
    """Build the method that stands in a slot of a recipe: `"none"`, `"name"` or `{name: {parameter: value}}`.

    Raises:
        InputError: as `create`, and if `value` has another form.
    """
    if isinstance(value, str):
        return create(kind, value)
    if isinstance(value, Mapping) and len(value) == 1:
        ((name, params),) = value.items()
        if isinstance(name, str) and (params is None or isinstance(params, Mapping)):
            return create(kind, name, params)
    raise InputError(f"{kind}: found {value!r}; allowed: a name or {{name: {{parameter: value}}}}")


def spec_of(method: object) -> MethodSpec:
    """Return what a method (class or instance) declares."""
    return cast(MethodSpec, getattr(method, "spec"))  # noqa: B009  (set by the decorator)


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
            near = _nearest(str(value), [str(o) for o in param.options])
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
            f"{place}: kind {kind!r} is unknown; allowed: {', '.join(METHOD_KINDS)}{_nearest(kind, METHOD_KINDS)}"
        )
    if not name or name == "none" or "." in name:
        raise InputError(f"{place}: a name may not be empty, `none` or hold a dot")
    for needed in METHOD_KINDS[kind]:
        if not callable(getattr(cls, needed, None)):
            raise InputError(f"{place}: a {kind} must define `{needed}`")


def _take_parameters(cls: type[Any], place: str) -> dict[str, Param]:
    """Read the declared parameters off the class and leave their plain defaults in their place."""
    params: dict[str, Param] = {}
    annotations: dict[str, Any] = {}
    for base in reversed(cls.__mro__[:-1]):  # a plain base class may declare what several methods share
        annotations |= inspect.get_annotations(base)
    cls.__annotations__ = annotations
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
    for name, value in cls.__dict__.items():
        if isinstance(value, Param):
            raise InputError(f"{place}: {name} needs an annotation, as in `{name}: float = log(1e-5, 1e-2)`")
    return params


def _register(kind: str, name: str, cls: type[Any]) -> None:
    before = _CLASSES.get((kind, name))
    if before is not None and _origin(before) != _origin(cls):
        raise InputError(
            f"{kind} {name!r} of {'.'.join(_origin(cls))} is already declared by {'.'.join(_origin(before))}; "
            "give it another name"
        )
    _CLASSES[kind, name] = cls


def _origin(cls: type[Any]) -> tuple[str, str]:
    """Module and name of a class; a script that a worker process imports again is the same script."""
    module = "__main__" if cls.__module__ == "__mp_main__" else cls.__module__
    return module, cls.__qualname__


def _discover() -> None:
    package = importlib.import_module("autoreg.methods")
    if "package" not in _FOUND:
        _FOUND.add("package")
        for module in _walk(package.__path__, "autoreg.methods."):
            importlib.import_module(module)
    for entry in importlib.metadata.entry_points(group=ENTRY_POINTS) if "entries" not in _FOUND else ():
        try:
            entry.load()
        except ImportError as error:
            raise InputError(f"entry point {entry.name!r} of group {ENTRY_POINTS!r}: {error}") from error
    _FOUND.add("entries")


def _walk(path: Iterable[str], prefix: str) -> list[str]:
    """Names of the modules in the package's folders; `functional` and `modules` import torch."""
    found: list[str] = []
    for info in pkgutil.iter_modules(path):
        name = prefix + info.name
        if info.ispkg and info.name not in ("functional", "modules"):
            package = importlib.import_module(name)
            found += _walk(package.__path__, name + ".")
        elif not info.ispkg and prefix != "autoreg.methods.":
            found.append(name)
    return found


def _nearest(name: str, names: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, [str(n) for n in names], 1)
    return f"; did you mean {near[0]!r}?" if near else ""
