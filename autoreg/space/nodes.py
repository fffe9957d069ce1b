"""The tree a search space is made of: seven kinds of node, each frozen and comparable.

YAML and Python are two ways to write this tree; everything else in `autoreg.space` reads it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

Scalar = bool | int | float | str
RangeKind = Literal["uniform", "log", "int", "log_int"]
RANGE_KINDS: tuple[RangeKind, ...] = ("uniform", "log", "int", "log_int")


@dataclass(frozen=True)
class Pairs:
    """A mapping inside a literal constant, held so that it can be hashed (and distinguished from a list of pairs)."""

    items: tuple[tuple[str, Any], ...]


@dataclass(frozen=True, eq=False)
class Constant:
    """A value that does not vary: a scalar, or a list or mapping given as `{value: ...}`.

    Lists are held as tuples and mappings as `Pairs`, so that a constant can be hashed;
    `literal` tells whether it was written with the word `value`. Unlike in Python, `1`, `1.0` and
    `True` are three different constants.
    """

    value: Any
    literal: bool = False

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Constant):
            return NotImplemented
        return self.literal == other.literal and typed(self.value) == typed(other.value)

    def __hash__(self) -> int:
        return hash((typed(self.value), self.literal))

    @cached_property  # spaces are walked thousands of times for one proposal
    def is_plain(self) -> bool:
        """Whether the value is a number, a text, true or false."""
        return type(self.value) in (bool, int, float, str)

    @cached_property
    def key(self) -> Any:
        """The value as `typed` has it."""
        return typed(self.value)


@dataclass(frozen=True)
class Range:
    """Numbers between `low` and `high`, both included; `step` counts from `low`."""

    kind: RangeKind
    low: float
    high: float
    step: float | None = None

    @cached_property  # spaces are walked thousands of times for one proposal
    def is_int(self) -> bool:
        """Whether the values are whole numbers."""
        return self.kind in ("int", "log_int")

    @cached_property
    def is_log(self) -> bool:
        """Whether values are uniform in the logarithm."""
        return self.kind in ("log", "log_int")


def describe_range(domain: Range) -> str:
    """A range as the YAML writes it, as in `log: [0.001, 1]`."""
    step = "" if domain.step is None else f", step: {domain.step:g}"
    return f"{domain.kind}: [{domain.low:g}, {domain.high:g}]{step}"


@dataclass(frozen=True)
class Option:
    """One option of a choice: its label, and what is there when it is taken.

    A plain value has a `Constant`, a method or a labelled group a `Group`.
    """

    label: str
    node: Constant | Range | Group


@dataclass(frozen=True)
class Choice:
    """Exactly one of the options; labels are unique."""

    options: tuple[Option, ...]

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """The labels of the options, in their order."""
        return tuple(option.label for option in self.options)


@dataclass(frozen=True)
class Group:
    """Named nodes that are all present together."""

    items: tuple[tuple[str, Node], ...]


@dataclass(frozen=True)
class AnyOf:
    """Methods of which each is in or out, with parameters of its own; at most `at_most` are in at once (None: all).

    With `all_in` nothing is left open: every one of them is in, as in a recipe of several methods.
    """

    items: tuple[tuple[str, Group], ...]
    at_most: int | None = None
    all_in: bool = False

    @cached_property
    def limit(self) -> int:
        """How many may be in at once."""
        return len(self.items) if self.at_most is None else min(self.at_most, len(self.items))


@dataclass(frozen=True)
class PerLayer:
    """One node per layer pattern; a layer takes the value of the first pattern that matches it."""

    patterns: tuple[tuple[str, Node], ...]


@dataclass(frozen=True)
class EveryLayer:
    """One copy of `node` for every weighted layer; a task's layers turn it into a `PerLayer`."""

    node: Node


Node = Constant | Range | Choice | Group | AnyOf | PerLayer | EveryLayer


def typed(value: Any) -> Any:
    """A key that is equal for equal values of the same type only (`1`, `1.0` and `True` differ)."""
    if isinstance(value, (list, tuple)):
        return ("list", tuple(typed(item) for item in value))
    if isinstance(value, Pairs):
        return ("map", frozenset((key, typed(item)) for key, item in value.items))
    if isinstance(value, Mapping):
        return ("map", frozenset((key, typed(item)) for key, item in value.items()))
    return (type(value).__name__, repr(value) if isinstance(value, float) else value)


def freeze(value: Any) -> Any:
    """Turn lists and mappings into the hashable form that a `Constant` holds."""
    if isinstance(value, Mapping):
        return Pairs(tuple((key, freeze(item)) for key, item in value.items()))
    if isinstance(value, (list, tuple)):
        return tuple(freeze(item) for item in value)
    return value


def thaw(value: Any) -> Any:
    """Undo `freeze`: plain lists and dicts, as JSON has them."""
    if isinstance(value, Pairs):
        return {key: thaw(item) for key, item in value.items}
    if isinstance(value, tuple):
        return [thaw(item) for item in value]
    return value
