"""The small language of constraints and forbidden combinations.

Comparisons, `and`, `or`, `not`, `in`, the arithmetic signs `+ - * / **`, numbers (also `200_000`),
quoted text, `true` and `false`, and dotted names (`dense.flops`, `sparsity["2:4"].criterion`). `in` takes a list of
values or, after a value, a name that may have several: `'l1' in regularizer`.
Python's parser reads the text, a whitelist admits it, and a walker computes it: nothing is executed.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from autoreg.space import grammar
from autoreg.space.evaluation import INACTIVE, Several, Walker, unknown_name

__all__ = ["INACTIVE", "Expression", "Several"]


@dataclass(frozen=True)
class Expression:
    """A parsed expression; equal when the text is."""

    text: str
    place: str = field(default="expression", compare=False)

    @classmethod
    def parse(cls, text: str, place: str = "expression") -> Expression:
        """Parse and check `text`.

        Raises:
            InputError: naming `place`, when the text is not an expression of the grammar.
        """
        expression = cls(text.strip(), place)
        _ = expression._tree
        return expression

    def __str__(self) -> str:
        return self.text

    @cached_property
    def _tree(self) -> ast.expr:
        return grammar.parse(self.text, self.place)

    @property
    def is_condition(self) -> bool:
        """Whether the expression is true or false (a comparison, `and`, `or`, `not`) rather than a value."""
        return isinstance(self._tree, (ast.Compare, ast.BoolOp)) or (
            isinstance(self._tree, ast.UnaryOp) and isinstance(self._tree.op, ast.Not)
        )

    @cached_property
    def names(self) -> frozenset[str]:
        """The dotted names that the expression reads."""
        return frozenset(grammar.names_in(self._tree))

    @cached_property
    def compared(self) -> tuple[tuple[str, Any], ...]:
        """Pairs (name, constant) that an equality or `in` of the expression compares."""
        return tuple(grammar.compared_in(self._tree))

    def check_names(self, known: Iterable[str]) -> None:
        """Raise an `InputError` with the nearest right name when a name is not `known`."""
        allowed = sorted(set(known))
        for name in sorted(self.names):
            if name not in allowed:
                raise unknown_name(self.text, self.place, name, allowed)

    def evaluate(self, names: Mapping[str, Any]) -> Any:
        """Compute the value with dotted `names`.

        Raises:
            InputError: when a name is missing, or text and numbers are mixed.
        """
        return Walker(self.text, self.place, names).value(self._tree)

    def holds(self, names: Mapping[str, Any]) -> bool:
        """Whether the condition is met; a name alone is met when its value is true.

        Raises:
            InputError: as `evaluate`, and when the value is neither true nor false.
        """
        return Walker(self.text, self.place, names).truth(self._tree)

    def violation(self, names: Mapping[str, Any]) -> float:
        """How far a condition is from being met: at most 0 exactly when it is met.

        `a <= b` gives `a - b` in the unit of its sides; `and` takes the worst part, `or` the best.
        """
        return Walker(self.text, self.place, names).violation(self._tree, False)
