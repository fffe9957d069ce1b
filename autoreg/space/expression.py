"""The small language of constraints and forbidden combinations.

Comparisons, `and`, `or`, `not`, `in`, the arithmetic signs `+ - * / **`, numbers (also `200_000`),
quoted text, `true` and `false`, and dotted names (`dense.flops`, `sparsity["2:4"].criterion`).
Python's parser reads the text, a whitelist admits it, and a walker computes it: nothing is executed.
"""

from __future__ import annotations

import ast
import difflib
import math
import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from autoreg.errors import InputError
from autoreg.space.paths import join
from autoreg.space.problems import nearest, problem

_MOST_LETTERS = 2000
_GRAMMAR = "comparisons, and, or, not, in, + - * / **, numbers, quoted text and names"
_COMPARES = (ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.In, ast.NotIn)
_OPPOSITE: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Lt: ast.GtE,
    ast.GtE: ast.Lt,
    ast.Gt: ast.LtE,
    ast.LtE: ast.Gt,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}


class _Inactive:
    """The value of a parameter that is not active: every comparison with it is false."""

    def __repr__(self) -> str:
        return "INACTIVE"


INACTIVE = _Inactive()


@dataclass(frozen=True)
class Several:
    """The values of a name that differs from layer to layer: a comparison holds if it does for any."""

    values: tuple[Any, ...]


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
        _check(expression._tree, expression)
        return expression

    def __str__(self) -> str:
        return self.text

    @cached_property
    def _tree(self) -> ast.expr:
        if len(self.text) > _MOST_LETTERS:
            raise problem(self.place, f"an expression of {len(self.text)} letters", allowed=f"at most {_MOST_LETTERS}")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return ast.parse(self.text, mode="eval").body
        except SyntaxError as error:
            raise problem(
                self.place, f"{self.text!r} is no expression ({error.msg})", allowed=_hint(self.text)
            ) from None
        except (ValueError, RecursionError, MemoryError):
            raise problem(self.place, f"{self.text[:60]!r} is no expression", allowed=_GRAMMAR) from None

    @property
    def is_condition(self) -> bool:
        """Whether the expression is true or false (a comparison, `and`, `or`, `not`) rather than a value."""
        return isinstance(self._tree, (ast.Compare, ast.BoolOp)) or (
            isinstance(self._tree, ast.UnaryOp) and isinstance(self._tree.op, ast.Not)
        )

    @cached_property
    def names(self) -> frozenset[str]:
        """The dotted names that the expression reads."""
        return frozenset(name for name, _ in _names(self._tree))

    @cached_property
    def compared(self) -> tuple[tuple[str, Any], ...]:
        """Pairs (name, constant) that an equality or `in` of the expression compares."""
        return tuple(_compared(self._tree))

    def check_names(self, known: Iterable[str]) -> None:
        """Raise an `InputError` with the nearest right name when a name is not `known`."""
        allowed = sorted(set(known))
        for name in sorted(self.names):
            if name not in allowed:
                raise unknown_name(self, name, allowed)

    def evaluate(self, names: Mapping[str, Any]) -> Any:
        """Compute the value with dotted `names`.

        Raises:
            InputError: when a name is missing, or text and numbers are mixed.
        """
        return _Walker(self, names).value(self._tree)

    def violation(self, names: Mapping[str, Any]) -> float:
        """How far a condition is from being met: at most 0 exactly when it is met.

        `a <= b` gives `a - b` in the unit of its sides; `and` takes the worst part, `or` the best.
        """
        return _Walker(self, names).violation(self._tree, False)


def unknown_name(expression: Expression, name: str, known: list[str]) -> InputError:
    """The error for a name that an expression must not use; of many known names the closest are listed."""
    close = nearest(name, known)
    quoted = name.isidentifier() and close is None  # a word without quotes is read as a name
    what = f"unknown name {name!r} in {expression.text!r}" + (" (text is written in quotes)" if quoted else "")
    if len(known) <= 12:
        return problem(expression.place, what, allowed=known, wrong=name)
    similar = difflib.get_close_matches(name, known, 6, 0.3)
    listed = ", ".join(dict.fromkeys([*([close] if close else []), *similar]))
    return problem(expression.place, what, allowed=f"{listed}, ... ({len(known)} names)", wrong=name, near=known)


def _hint(text: str) -> str:
    if "&&" in text or "||" in text:
        return "the words 'and' and 'or'"
    if "=" in text.replace("==", "").replace("<=", "").replace(">=", "").replace("!=", ""):
        return "'==' to compare"
    return _GRAMMAR


def _components(node: ast.expr) -> list[str] | None:
    """The parts of a dotted name, or None when `node` is no name."""
    if isinstance(node, ast.Name):
        return None if node.id in ("true", "false") else [node.id]
    if isinstance(node, ast.List) and len(node.elts) == 1:  # a first part that is no word: ["a.b"].c
        first = node.elts[0]
        return [first.value] if isinstance(first, ast.Constant) and isinstance(first.value, str) else None
    if isinstance(node, ast.Attribute):
        head = _components(node.value)
        return None if head is None else [*head, node.attr]
    if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant) and isinstance(node.slice.value, str):
        head = _components(node.value)
        return None if head is None else [*head, node.slice.value]
    return None


def name_of(node: ast.expr) -> str | None:
    """The dotted name that `node` is, as `join` writes it, or None."""
    parts = _components(node)
    return None if parts is None else join(parts)


def _is_constant(node: ast.expr) -> bool:
    if isinstance(node, ast.Constant):
        return isinstance(node.value, (bool, int, float, str))
    if isinstance(node, ast.Name):
        return node.id in ("true", "false")
    return isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) and _is_constant(node.operand)


def _check(node: ast.expr, expression: Expression) -> None:
    if name_of(node) is not None or _is_constant(node):
        return
    children: list[ast.expr]
    if isinstance(node, ast.BoolOp):
        children = node.values
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.Not, ast.USub, ast.UAdd)):
        children = [node.operand]
    elif isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.Pow)):
        children = [node.left, node.right]
    elif isinstance(node, ast.Compare) and all(isinstance(op, _COMPARES) for op in node.ops):
        children = [node.left]
        for op, right in zip(node.ops, node.comparators, strict=True):
            if not isinstance(op, (ast.In, ast.NotIn)):
                children.append(right)
            elif not isinstance(right, (ast.List, ast.Tuple)) or not all(_is_constant(item) for item in right.elts):
                what = f"in {expression.text!r}: what follows 'in'"
                raise problem(expression.place, what, allowed="a list of values, such as ['a', 'b']")
    else:
        part = ast.get_source_segment(expression.text, node) or type(node).__name__
        raise problem(
            expression.place, f"in {expression.text!r}: {part!r} is not part of the grammar", allowed=_GRAMMAR
        )
    for child in children:
        _check(child, expression)


def _parts(node: ast.AST) -> Iterator[ast.expr]:
    """The operands of an expression, not looking into names."""
    if isinstance(node, ast.expr) and name_of(node) is None:
        for field_value in ast.iter_child_nodes(node):
            if isinstance(field_value, ast.expr):
                yield field_value


def _names(node: ast.expr) -> Iterator[tuple[str, ast.expr]]:
    name = name_of(node)
    if name is not None:
        yield name, node
    elif isinstance(node, ast.Compare):
        yield from _names(node.left)
        for op, right in zip(node.ops, node.comparators, strict=True):
            if not isinstance(op, (ast.In, ast.NotIn)):
                yield from _names(right)
    else:
        for part in _parts(node):
            yield from _names(part)


def _compared(node: ast.expr) -> Iterator[tuple[str, Any]]:
    if isinstance(node, ast.Compare):
        sides = [node.left, *node.comparators]
        for op, left, right in zip(node.ops, sides, sides[1:], strict=False):
            if isinstance(op, (ast.In, ast.NotIn)) and isinstance(right, (ast.List, ast.Tuple)):
                items = right.elts
            elif isinstance(op, (ast.Eq, ast.NotEq)):
                items = [right]
                left, items = (right, [left]) if _is_constant(left) else (left, items)
            else:
                continue
            name = name_of(left)
            if name is not None:
                yield from ((name, _constant(item)) for item in items if _is_constant(item))
    for part in _parts(node):
        yield from _compared(part)


def _constant(node: ast.expr) -> Any:
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.Name):
        return node.id == "true"
    assert isinstance(node, ast.UnaryOp)
    return -_constant(node.operand)


@dataclass(frozen=True)
class _Walker:
    """Computes one expression with one set of names."""

    expression: Expression
    names: Mapping[str, Any]

    def _wrong(self, what: str) -> InputError:
        return problem(self.expression.place, f"in {self.expression.text!r}: {what}")

    def value(self, node: ast.expr) -> Any:
        name = name_of(node)
        if name is not None:
            if name not in self.names:
                raise unknown_name(self.expression, name, sorted(self.names))
            return self.names[name]
        if _is_constant(node):
            return _constant(node)
        if isinstance(node, ast.BoolOp):
            results = (self.truth(part) for part in node.values)
            return all(results) if isinstance(node.op, ast.And) else any(results)
        if isinstance(node, ast.Compare):
            return all(self.compare(op, left, right) for op, left, right in _pairs(node))
        if isinstance(node, ast.UnaryOp):
            if isinstance(node.op, ast.Not):
                return not self.truth(node.operand)
            return self._arithmetic(
                ast.Sub() if isinstance(node.op, ast.USub) else ast.Add(), 0, self.value(node.operand)
            )
        assert isinstance(node, ast.BinOp)
        return self._arithmetic(node.op, self.value(node.left), self.value(node.right))

    def truth(self, node: ast.expr) -> bool:
        """The truth of a part; a name alone is true when its value is."""
        value = self.value(node)
        if value is INACTIVE:
            return False
        if isinstance(value, Several):
            return any(item is True for item in value.values)
        if not isinstance(value, bool):
            raise self._wrong(f"{ast.unparse(node)} is {value!r} where true or false is expected")
        return value

    def compare(self, op: ast.cmpop, left: ast.expr, right: ast.expr) -> bool:
        """One comparison; false when a side is inactive, true for several values if it is for any."""
        mine = self.value(left)
        if isinstance(op, (ast.In, ast.NotIn)):
            assert isinstance(right, (ast.List, ast.Tuple))
            theirs: Any = [_constant(item) for item in right.elts]
        else:
            theirs = self.value(right)
        if mine is INACTIVE or theirs is INACTIVE:
            return False
        many = [value.values if isinstance(value, Several) else (value,) for value in (mine, theirs)]
        return any(self._holds(op, one, other) for one in many[0] for other in many[1])

    def _holds(self, op: ast.cmpop, left: Any, right: Any) -> bool:
        if isinstance(op, (ast.In, ast.NotIn)):
            return any(_equal(left, item) for item in right) == isinstance(op, ast.In)
        if isinstance(op, (ast.Eq, ast.NotEq)):
            return _equal(left, right) == isinstance(op, ast.Eq)
        left, right = self._number(left), self._number(right)
        if isinstance(op, (ast.Lt, ast.LtE)):
            return bool(left < right if isinstance(op, ast.Lt) else left <= right)
        return bool(left > right if isinstance(op, ast.Gt) else left >= right)

    def _number(self, value: Any) -> Any:
        if isinstance(value, (bool, str)) or not hasattr(value, "__float__"):
            raise self._wrong(f"{value!r} stands where a number is expected")
        return value

    def _arithmetic(self, op: ast.operator, left: Any, right: Any) -> Any:
        if left is INACTIVE or right is INACTIVE:
            return INACTIVE
        if isinstance(left, Several) or isinstance(right, Several):
            many = [value.values if isinstance(value, Several) else (value,) for value in (left, right)]
            return Several(tuple(self._arithmetic(op, one, other) for one in many[0] for other in many[1]))
        left, right = self._number(left), self._number(right)
        try:
            if isinstance(op, ast.Add):
                return left + right
            if isinstance(op, ast.Sub):
                return left - right
            if isinstance(op, ast.Mult):
                return left * right
            return left / right if isinstance(op, ast.Div) else math.pow(left, right)
        except ZeroDivisionError:
            raise self._wrong("division by zero") from None
        except (OverflowError, ValueError):
            raise self._wrong(f"{left!r} and {right!r} give no finite number") from None

    def violation(self, node: ast.expr, negated: bool) -> float:
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            return self.violation(node.operand, not negated)
        if isinstance(node, ast.BoolOp):
            worst = isinstance(node.op, ast.And) != negated
            return (max if worst else min)(self.violation(part, negated) for part in node.values)
        if isinstance(node, ast.Compare):
            parts = [self._gap(op, left, right, negated) for op, left, right in _pairs(node)]
            return (min if negated else max)(parts)
        return 0.0 if self.truth(node) != negated else 1.0

    def _gap(self, op: ast.cmpop, left: ast.expr, right: ast.expr, negated: bool) -> float:
        met = self.compare(op, left, right) != negated
        op = _OPPOSITE[type(op)]() if negated else op
        if not isinstance(op, (ast.In, ast.NotIn, ast.NotEq)):
            mine, theirs = self.value(left), self.value(right)
            if all(isinstance(side, (int, float)) and not isinstance(side, bool) for side in (mine, theirs)):
                gap = float(mine) - float(theirs)
                gap = -gap if isinstance(op, (ast.Gt, ast.GtE)) else abs(gap) if isinstance(op, ast.Eq) else gap
                if met:
                    return min(gap, 0.0) if not math.isnan(gap) else 0.0
                return max(gap, sys.float_info.min) if not math.isnan(gap) else math.inf
        return 0.0 if met else 1.0


def _pairs(node: ast.Compare) -> Iterator[tuple[ast.cmpop, ast.expr, ast.expr]]:
    return zip(node.ops, [node.left, *node.comparators[:-1]], node.comparators, strict=True)


def _equal(left: Any, right: Any) -> bool:
    return isinstance(left, bool) == isinstance(right, bool) and bool(left == right)
