"""The tree a search space is made of: six kinds of node, each frozen and comparable.

YAML and Python are two ways to write this tree; everything else in `autoreg.space` reads it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Scalar = bool | int | float | str
RangeKind = Literal["uniform", "log", "int", "log_int"]
RANGE_KINDS: tuple[RangeKind, ...] = ("uniform", "log", "int", "log_int")


@dataclass(frozen=True)
class Constant:
    """A value that does not vary: a scalar, or a list or mapping given as `{value: ...}`.

    Lists are held as tuples and mappings as tuples of pairs, so that a constant can be hashed;
    `literal` tells whether it was written with the word `value`.
    """

    value: Any
    literal: bool = False


@dataclass(frozen=True)
class Range:
    """Numbers between `low` and `high`, both included; `step` counts from `low`."""

    kind: RangeKind
    low: float
    high: float
    step: float | None = None

    @property
    def is_int(self) -> bool:
        """Whether the values are whole numbers."""
        return self.kind in ("int", "log_int")

    @property
    def is_log(self) -> bool:
        """Whether values are spread evenly in the logarithm."""
        return self.kind in ("log", "log_int")


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


@dataclass(frozen=True)
class Group:
    """Named nodes that are all present together."""

    items: tuple[tuple[str, Node], ...]


@dataclass(frozen=True)
class PerLayer:
    """One node per layer pattern; a layer takes the value of the first pattern that matches it."""

    patterns: tuple[tuple[str, Node], ...]


@dataclass(frozen=True)
class EachLayer:
    """One copy of `node` for every weighted layer; a task's layers turn it into a `PerLayer`."""

    node: Node


Node = Constant | Range | Choice | Group | PerLayer | EachLayer
