"""Rules between the options of a space: what is forbidden by the user and by the methods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from autoreg.space.expression import INACTIVE, Expression, Several
from autoreg.space.names import merge_known
from autoreg.space.parser import same
from autoreg.space.paths import child
from autoreg.space.problems import problem, show
from autoreg.space.spec import Param, Registry, Section, label_of

Known = Mapping[str, tuple[Any, ...] | None]

_MAX_DEPTH = 6


@dataclass(frozen=True)
class Rule:
    """A combination that is refused: the expression holds, while the method of `guard` is in use.

    `guard` is the pair (name of a slot, method), or None for a rule that always applies.
    """

    expression: Expression
    reason: str
    guard: tuple[str, str] | None = None

    def broken(self, names: Mapping[str, Any]) -> bool:
        """Whether the rule refuses a config with these values; what it lacks is inactive."""
        if self.guard is not None and not _is(names.get(self.guard[0]), self.guard[1]):
            return False
        full = {name: names.get(name, INACTIVE) for name in self.expression.names}
        return self.expression.holds(full)


def _is(value: Any, label: str) -> bool:
    return label in value.values if isinstance(value, Several) else value == label


def check_rules(rules: Sequence[Rule], known: Known) -> None:
    """Raise an `InputError` when a rule names what does not exist, or a value that never occurs."""
    for rule in rules:
        expression = rule.expression
        expression.check_names(known)
        for name, value in expression.compared:
            values = known[name]
            if values is None or any(same(value, one) or _equal_numbers(value, one) for one in values):
                continue
            what = f"in {expression.text!r}: {name} is never {show(value)}"
            wrong = value if isinstance(value, str) else None
            raise problem(expression.place, what, allowed=[label_of(one) for one in values], wrong=wrong)


def _equal_numbers(left: Any, right: Any) -> bool:
    numbers = all(isinstance(side, (int, float)) and not isinstance(side, bool) for side in (left, right))
    return numbers and left == right


def registry_names(registry: Registry) -> dict[str, tuple[Any, ...] | None]:
    """Every name that an expression over recipes of this registry may use, with its values."""
    return _names_of(Section(registry.sections), "", registry, 0)


def _names_of(item: Param | Section, name: str, registry: Registry, depth: int) -> dict[str, tuple[Any, ...] | None]:
    found: dict[str, tuple[Any, ...] | None] = {}
    if isinstance(item, Section):
        for key, inner in item.items.items():
            found |= _names_of(inner, child(name, key), registry, depth)
        return found
    if item.type != "slot":
        found[name] = (True, False) if item.type == "bool" and item.options is None else item.options
        return found
    methods = registry.methods.get(item.slot_kind or "", {})
    found[name] = tuple(dict.fromkeys([*methods, item.default, "none"]))
    if depth < _MAX_DEPTH:
        for method, spec in methods.items():
            for key, param in spec.params.items():
                found |= _names_of(param, child(child(name, method), key), registry, depth + 1)
    return found


def all_known(tree: Known, registry: Registry | None) -> dict[str, tuple[Any, ...] | None]:
    """The names of a tree, and those of the registry when it is bound to one."""
    return dict(tree) if registry is None else merge_known(tree, registry_names(registry))
