"""Computing an expression: its value, its truth, and how far it is from being met."""

from __future__ import annotations

import ast
import difflib
import math
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from autoreg.errors import InputError
from autoreg.space.grammar import constant_of, is_constant, is_list, name_of
from autoreg.space.problems import nearest, problem

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
    """The values of a name that has several, by layer or as methods in one slot: what holds for any of them holds."""

    values: tuple[Any, ...]

    @classmethod
    def of(cls, parts: Iterable[Any]) -> Several:
        """Several values made of parts, some of which are several themselves."""
        return cls(tuple(v for part in parts for v in (part.values if isinstance(part, Several) else (part,))))


def unknown_name(text: str, place: str, name: str, known: list[str]) -> InputError:
    """The error for a name that an expression must not use; of many known names the closest are listed."""
    close = nearest(name, known)
    quoted = name.isidentifier() and close is None  # a word without quotes is read as a name
    what = f"unknown name {name!r} in {text!r}" + (" (text is written in quotes)" if quoted else "")
    if len(known) <= 12:
        return problem(place, what, allowed=known, wrong=name)
    similar = difflib.get_close_matches(name, known, 6, 0.3)
    listed = ", ".join(dict.fromkeys([*([close] if close else []), *similar]))
    return problem(place, what, allowed=f"{listed}, ... ({len(known)} names)", wrong=name, near=known)


@dataclass(frozen=True)
class Walker:
    """Computes one expression with one set of names."""

    text: str
    place: str
    names: Mapping[str, Any]

    def _wrong(self, what: str) -> InputError:
        return problem(self.place, f"in {self.text!r}: {what}")

    def value(self, node: ast.expr) -> Any:
        """The value of a part; INACTIVE and `Several` pass through arithmetic."""
        name = name_of(node)
        if name is not None:
            if name not in self.names:
                raise unknown_name(self.text, self.place, name, sorted(self.names))
            return self.names[name]
        if is_constant(node):
            return constant_of(node)
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
            if not is_list(right):
                return self._is_among(mine, self.value(right), op)
            assert isinstance(right, (ast.List, ast.Tuple))
            theirs: Any = [constant_of(item) for item in right.elts]
        else:
            theirs = self.value(right)
        if mine is INACTIVE or theirs is INACTIVE:
            return False
        many = [value.values if isinstance(value, Several) else (value,) for value in (mine, theirs)]
        return any(self._holds(op, one, other) for one in many[0] for other in many[1])

    def _is_among(self, value: Any, name: Any, op: ast.cmpop) -> bool:
        """Whether a value is (not) one of those of a name; false when the name is inactive."""
        values = name.values if isinstance(name, Several) else (name,)
        return name is not INACTIVE and any(_equal(value, one) for one in values) == isinstance(op, ast.In)

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
        """How far a part (or, with `negated`, its opposite) is from being met."""
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
