"""From the tree back to plain data and to YAML text, without loss."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from autoreg.space.nodes import AnyOf, Choice, Constant, EveryLayer, Group, Node, PerLayer, Range, thaw

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_./*-]*")
_WORDS = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n"})
_LONGEST_KEY = 1000  # YAML 1.2, section 7.4.2: an unmarked key has at most 1,024 characters
_WIDTH = 110


def node_to_data(node: Node) -> Any:
    """Write a node as the plain data that parses to it."""
    if isinstance(node, Constant):
        return {"value": thaw(node.value)} if node.literal else node.value
    if isinstance(node, Range):
        cast = int if node.is_int else float
        data: dict[str, Any] = {node.kind: [cast(node.low), cast(node.high)]}
        return data if node.step is None else {**data, "step": cast(node.step)}
    if isinstance(node, Group):
        return {name: node_to_data(item) for name, item in node.items}
    if isinstance(node, PerLayer):
        return {"per_layer": {pattern: node_to_data(item) for pattern, item in node.patterns}}
    if isinstance(node, EveryLayer):
        return {"each_layer": node_to_data(node.node)}
    if isinstance(node, AnyOf):
        return _any_of(node)
    return [
        {option.label: node_to_data(option.node)} if isinstance(option.node, Group) else node_to_data(option.node)
        for option in node.options
    ]


def _any_of(node: AnyOf) -> dict[str, Any]:
    if node.all_in:
        return {name: node_to_data(item) for name, item in node.items}
    options = [{name: node_to_data(item)} if item.items else name for name, item in node.items]
    return {"any_of": options} | ({} if node.at_most is None else {"at_most": node.at_most})


def node_to_canonical(node: Node) -> Any:
    """Data whose canonical JSON is equal exactly for nodes that mean the same.

    A choice with one option equals the constant, a literal scalar equals the scalar, the order of
    names in a group does not matter, and that of options and of layer patterns does. A limit that all methods keep
    together is none.
    """
    if isinstance(node, Constant):
        value = thaw(node.value)
        return {"value": value} if isinstance(value, (list, dict)) else value
    if isinstance(node, Group):
        return {name: node_to_canonical(item) for name, item in node.items}
    if isinstance(node, PerLayer):
        return {"per_layer": [[pattern, node_to_canonical(item)] for pattern, item in node.patterns]}
    if isinstance(node, EveryLayer):
        return {"each_layer": node_to_canonical(node.node)}
    if isinstance(node, AnyOf):
        methods = {name: node_to_canonical(item) for name, item in node.items}
        limit = {"at_most": node.limit} if node.limit < len(node.items) else {}
        return methods if node.all_in else {"any_of": list(methods.items())} | limit
    if isinstance(node, Choice):
        options = [
            {o.label: node_to_canonical(o.node)} if isinstance(o.node, Group) else node_to_canonical(o.node)
            for o in node.options
        ]
        return options[0] if len(options) == 1 else options
    return node_to_data(node)


def to_yaml(data: Mapping[str, Any]) -> str:
    """Write plain data as YAML: short parts in a line, long ones in blocks.

    Strings that a reader might take for something else are quoted, numbers with an exponent have a
    decimal point, so that readers of YAML 1.1 understand the same.
    """
    return "".join(line + "\n" for line in _block(data, "")) or "{}\n"


def _block(data: Any, indent: str) -> list[str]:
    lines: list[str] = []
    if isinstance(data, Mapping):
        for key, value in data.items():
            lines += _entry(indent + _key(key, indent), value, indent)
    else:
        for value in data:
            if isinstance(value, Mapping) and len(value) == 1:
                ((key, inner),) = value.items()
                lines += _entry(f"{indent}- {_key(key, indent + '  ')}", inner, indent + "  ")
            else:
                lines += _entry(f"{indent}-", value, indent)
    return lines


def _entry(head: str, value: Any, indent: str) -> list[str]:
    line = f"{head} {flow(value)}"
    if len(line) <= _WIDTH or not isinstance(value, (Mapping, list)) or not value:
        return [line]
    return [head, *_block(value, indent + "  ")]


def flow(data: Any) -> str:
    """Plain data in one line of YAML."""
    if isinstance(data, Mapping):
        return "{" + ", ".join(f"{_key(key)} {flow(value)}" for key, value in data.items()) + "}"
    if isinstance(data, (list, tuple)):
        return "[" + ", ".join(flow(value) for value in data) + "]"
    if isinstance(data, bool):
        return "true" if data else "false"
    if isinstance(data, float):
        mantissa, exponent, power = repr(data).partition("e")
        return mantissa + (".0" if exponent and "." not in mantissa else "") + exponent + power
    return _string(data) if isinstance(data, str) else str(data)


def _key(text: str, indent: str | None = None) -> str:
    """A key with its colon; a long one is marked as a key (`? key`), since readers look no further for the colon.

    In a block, at an `indent`, the colon stands in a line of its own; in a flow mapping in the same.
    """
    key = _string(text)
    if len(key) <= _LONGEST_KEY:
        return f"{key}:"
    return f"? {key} :" if indent is None else f"? {key}\n{indent}:"


def _string(text: str) -> str:
    if _PLAIN.fullmatch(text) and text.casefold() not in _WORDS:
        return text
    return '"' + "".join(_escaped(char) for char in text) + '"'


def _escaped(char: str) -> str:
    if char in '"\\':
        return "\\" + char
    code = ord(char)
    if 32 <= code < 127:
        return char
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" if code < 65536 else f"\\U{code:08x}"
