"""Where methods are registered, found and built by name. Loads without torch."""

from __future__ import annotations

import difflib
import hashlib
import importlib
import importlib.metadata
import importlib.util
import inspect
import pkgutil
import sys
from collections.abc import Iterable, Mapping
from typing import Any, cast

from autoreg.errors import InputError
from autoreg.methods.sections import SECTIONS
from autoreg.space.spec import MethodSpec, Registry

METHOD_ENTRY_POINTS = "autoreg.methods"
"""Group of the entry points by which another distribution declares methods."""

METHOD_KINDS: Mapping[str, tuple[str, ...]] = {
    "regularizer": (),
    "noise": (),
    "reparam": (),
    "teacher": ("loss", "outputs"),
    "averaging": ("average",),
    "structure": ("resolve", "apply", "hooks", "changes_shape"),
    "criterion": ("score", "needs", "comparison"),
    "allocation": ("levels", "needs", "same_for_all"),
    "rank": ("ranks", "needs"),
    "schedule": ("fraction",),
    "quantizer": ("codes", "grid", "round", "untrained", "integers"),
    "train": ("select", "needs"),
    "drop": ("select", "needs"),
    "blocks": ("keep", "select", "needs"),
    "inherit": ("select", "needs"),
}
"""The kinds of method, each with what a method of that kind must define."""

_TORCH_PACKAGES = ("functional", "modules")
_TORCH_MODULES = ("autoreg.methods.testing", "autoreg.methods.tiny_training")
"""What of this package imports torch at once, and declares no method."""

_CLASSES: dict[tuple[str, str], type[Any]] = {}
_discovered = False


def register(kind: str, name: str, cls: type[Any]) -> None:
    """Make a class known under a kind and a name.

    Raises:
        InputError: another class has the name.
    """
    before = _CLASSES.get((kind, name))
    if before is not None and _origin(before) != _origin(cls):
        raise InputError(
            f"{kind} {name!r} of {'.'.join(_origin(cls))} is already declared by {'.'.join(_origin(before))}; "
            "give it another name"
        )
    _CLASSES[kind, name] = cls


def registry() -> Registry:
    """Return the specifications of all methods, of this package and of installed entry points. Imports no torch.

    Raises:
        InputError: a module of the package or of an entry point cannot be imported.
    """
    methods: dict[str, dict[str, MethodSpec]] = {kind: {} for kind in METHOD_KINDS}
    for (kind, name), cls in sorted(_classes().items()):
        methods[kind][name] = spec_of(cls)
    return Registry(methods=methods, sections=SECTIONS)


def foreign_sources() -> str:
    """Digest of the sources of all methods that come from outside of the package; empty where there are none.

    What was computed with a method must not be taken for the result of another version of it.
    """
    found = {}
    for (kind, name), cls in sorted(_classes().items()):
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
    classes = _classes()
    check_kind(f"kind of method {kind!r}", kind)
    if (kind, name) not in classes:
        names = sorted(n for k, n in classes if k == kind)
        raise InputError(f"{kind}: {name!r} is unknown; allowed: {', '.join(['none', *names])}{nearest(name, names)}")
    return classes[kind, name]


def find_class(kind: str, name: str) -> type[Any] | None:
    """The class of a method; None where there is none of that kind and name here, as in a record of another machine."""
    return _classes().get((kind, name))


def methods_with(kind: str, attribute: str) -> list[str]:
    """Names of the methods of a kind that define something of their own choice, sorted."""
    return sorted(name for (found, name), cls in _classes().items() if found == kind and hasattr(cls, attribute))


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
            raise InputError(f"{kind} {name!r}: unknown parameter {key!r}; allowed: {allowed}{nearest(key, known)}")
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


def all_from_recipe(kind: str, value: Any) -> tuple[Any, ...]:
    """Build every method that stands in a slot of a recipe, which may be none, one, or several in a mapping.

    They stand in the order of their names, whatever the order of the mapping: recipes that are equal do the same.

    Raises:
        InputError: as `from_recipe`.

    Example:
        >>> all_from_recipe("regularizer", {"sam": {"rho": 0.1}, "l1": {"strength": 1.0}})
        (L1(strength=1.0), Sam(rho=0.1))
    """
    if isinstance(value, Mapping) and len(value) > 1:
        return tuple(from_recipe(kind, {name: value[name]}) for name in sorted(value))
    method = from_recipe(kind, value)
    return () if method is None else (method,)


def to_recipe(method: Any) -> Any:
    """What stands in a slot of a recipe for an instance; `from_recipe` reads it back. None is `"none"`.

    Example:
        >>> to_recipe(create("structure", "2:4"))
        {'2:4': {'criterion': {'magnitude': {}}, 'schedule': {'one_shot': {}}}}
    """
    if method is None:
        return "none"
    spec = spec_of(method)
    values = {name: getattr(method, name) for name in spec.params}
    return {spec.name: {name: to_recipe(v) if spec.params[name].type == "slot" else v for name, v in values.items()}}


def spec_of(method: object) -> MethodSpec:
    """Return what a method (class or instance) declares."""
    return cast(MethodSpec, getattr(method, "spec"))  # noqa: B009  (set by the decorator)


def check_kind(place: str, kind: str) -> None:
    """Refuse a kind of method that does not exist, with the nearest that does.

    Raises:
        InputError: then.
    """
    if kind not in METHOD_KINDS:
        raise InputError(f"{place} is unknown; allowed: {', '.join(METHOD_KINDS)}{nearest(kind, METHOD_KINDS)}")


def nearest(name: str, names: Iterable[str]) -> str:
    """The end of a message that names the nearest of several names; empty where none is near."""
    near = difflib.get_close_matches(name, [str(n) for n in names], 1)
    return f"; did you mean {near[0]!r}?" if near else ""


def _origin(cls: type[Any]) -> tuple[str, str]:
    """Module and name of a class; a script that a worker process imports again is the same script."""
    module = "__main__" if cls.__module__ == "__mp_main__" else cls.__module__
    return module, cls.__qualname__


def _classes() -> Mapping[tuple[str, str], type[Any]]:
    """All classes by kind and name, every module that may declare one imported.

    Only a discovery that went through to its end is remembered: after a failure each call tries again, and is refused
    again for the same reason, so that nobody works with half of the methods.
    """
    global _discovered
    if not _discovered:
        try:
            _import_all()
        except InputError:
            _discovered = False  # set by a call from within a module that was just being imported
            raise
        _discovered = True
    return _CLASSES


def _import_all() -> None:
    package = importlib.import_module("autoreg.methods")
    for module in _modules_in(package.__path__, "autoreg.methods."):
        try:
            importlib.import_module(module)
        except Exception as error:  # whatever goes wrong in one file: what is left would be half of the methods
            raise InputError(f"methods: {module} cannot be imported ({type(error).__name__}: {error})") from error
    for entry in importlib.metadata.entry_points(group=METHOD_ENTRY_POINTS):
        try:
            entry.load()
        except Exception as error:
            where = f"entry point {entry.name!r} of group {METHOD_ENTRY_POINTS!r}"
            raise InputError(f"{where} cannot be loaded ({type(error).__name__}: {error})") from error


def _modules_in(path: Iterable[str], prefix: str) -> list[str]:
    """Names of the modules in the package and its folders, but for those that hold mathematics alone."""
    found: list[str] = []
    for info in pkgutil.iter_modules(path):
        name = prefix + info.name
        if not info.ispkg:
            found += [] if name in _TORCH_MODULES else [name]
        elif info.name not in _TORCH_PACKAGES:
            folder = importlib.util.find_spec(name)
            assert folder is not None
            found += [name, *_modules_in(folder.submodule_search_locations or (), name + ".")]
    return found
