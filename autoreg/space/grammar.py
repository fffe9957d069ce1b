"""Which Python syntax is an expression of ours, and what it names and compares."""

from __future__ import annotations

import ast
import functools
import warnings
from collections.abc import Iterator
from typing import Any

from autoreg.space.paths import join
from autoreg.space.problems import problem

_MAX_LENGTH = 2000
_GRAMMAR = "comparisons, and, or, not, in, + - * / **, numbers, quoted text and names"
_COMPARES = (ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.In, ast.NotIn)


def parse(text: str, place: str) -> ast.expr:
    """Parse `text` and check that it is of the grammar; raises an `InputError` that names `place`."""
    if len(text) > _MAX_LENGTH:
        raise problem(place, f"an expression of {len(text)} letters", allowed=f"at most {_MAX_LENGTH}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text, mode="eval").body
    except SyntaxError as error:
        raise problem(place, f"{text!r} is no expression ({error.msg})", allowed=_hint(text)) from None
    except (ValueError, RecursionError, MemoryError):
        raise problem(place, f"{text[:60]!r} is no expression", allowed=_GRAMMAR) from None
    _check(tree, text, place)
    return tree


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


@functools.lru_cache(maxsize=4096)  # rules are asked of every candidate
def name_of(node: ast.expr) -> str | None:
    """The dotted name that `node` is, as `join` writes it, or None."""
    parts = _components(node)
    return None if parts is None else join(parts)


def is_constant(node: ast.expr) -> bool:
    """Whether `node` is a number, a text, true or false."""
    if isinstance(node, ast.Constant):
        return isinstance(node.value, (bool, int, float, str))
    if isinstance(node, ast.Name):
        return node.id in ("true", "false")
    return isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) and is_constant(node.operand)


def is_list(node: ast.expr) -> bool:
    """Whether `node` is a list of constants; one of a single text is no name where a list may stand."""
    return isinstance(node, (ast.List, ast.Tuple)) and all(is_constant(item) for item in node.elts)


def _check(node: ast.expr, text: str, place: str) -> None:
    if name_of(node) is not None or is_constant(node):
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
        sides = [node.left, *node.comparators]
        for op, left, right in zip(node.ops, sides, node.comparators, strict=False):
            if not isinstance(op, (ast.In, ast.NotIn)):
                children.append(right)
            elif not is_list(right) and not (is_constant(left) and name_of(right) is not None):
                what = f"in {text!r}: what follows 'in'"
                raise problem(place, what, allowed="a list of values, such as ['a', 'b'], or after a value a name")
            elif not is_list(right):
                children.append(right)
    else:
        part = ast.get_source_segment(text, node) or type(node).__name__
        raise problem(place, f"in {text!r}: {part!r} is not part of the grammar", allowed=_GRAMMAR)
    for child in children:
        _check(child, text, place)


def _parts(node: ast.AST) -> Iterator[ast.expr]:
    """The operands of an expression, not looking into names."""
    if isinstance(node, ast.expr) and name_of(node) is None:
        for field_value in ast.iter_child_nodes(node):
            if isinstance(field_value, ast.expr):
                yield field_value


def names_in(node: ast.expr) -> Iterator[str]:
    """The dotted names below `node`."""
    name = name_of(node)
    if name is not None:
        yield name
    elif isinstance(node, ast.Compare):
        yield from names_in(node.left)
        for op, right in zip(node.ops, node.comparators, strict=True):
            if not isinstance(op, (ast.In, ast.NotIn)) or not is_list(right):
                yield from names_in(right)
    else:
        for part in _parts(node):
            yield from names_in(part)


def compared_in(node: ast.expr) -> Iterator[tuple[str, Any]]:
    """Pairs (name, constant) that an equality or `in` below `node` compares."""
    if isinstance(node, ast.Compare):
        sides = [node.left, *node.comparators]
        for op, left, right in zip(node.ops, sides, sides[1:], strict=False):
            if isinstance(op, (ast.In, ast.NotIn)) and isinstance(right, (ast.List, ast.Tuple)):
                items = right.elts
            elif isinstance(op, (ast.In, ast.NotIn)):
                left, items = right, [left]
            elif isinstance(op, (ast.Eq, ast.NotEq)):
                items = [right]
                left, items = (right, [left]) if is_constant(left) else (left, items)
            else:
                continue
            name = name_of(left)
            if name is not None:
                yield from ((name, constant_of(item)) for item in items if is_constant(item))
    for part in _parts(node):
        yield from compared_in(part)


def constant_of(node: ast.expr) -> Any:
    """The value of a constant."""
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.Name):
        return node.id == "true"
    assert isinstance(node, ast.UnaryOp)
    return -constant_of(node.operand)
