"""`autoreg methods`: every method that a space may name, from what each declares."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from autoreg.commands.check import repr_range
from autoreg.methods import registry
from autoreg.space.nodes import Choice, Constant, Range
from autoreg.space.spec import MethodSpec, Param


def list_methods() -> list[dict[str, Any]]:
    """All methods as JSON, by kind and name."""
    found = registry()
    return [_row(spec) for kind in sorted(found.methods) for _, spec in sorted(found.methods[kind].items())]


def _row(spec: MethodSpec) -> dict[str, Any]:
    paper = spec.paper
    return {
        "kind": spec.kind,
        "name": spec.name,
        "summary": spec.summary,
        "parameters": {name: _parameter(param) for name, param in spec.params.items()},
        "catalogue": list(spec.catalogue),
        "paper": None
        if paper is None
        else {
            "title": paper.title,
            "authors": paper.authors,
            "year": paper.year,
            "arxiv": paper.arxiv,
            "doi": paper.doi,
            "checked": paper.checked,
        },
        "hooks": list(spec.hooks),
    }


def _parameter(param: Param) -> dict[str, Any]:
    node = param.node
    searched: Any = None
    if isinstance(node, Range):
        searched = repr_range(node)
    elif isinstance(node, Choice):
        searched = [option.label for option in node.options]
    elif isinstance(node, Constant):
        searched = node.value
    row = {"type": param.type, "default": param.default, "searched": searched, "doc": param.doc}
    return row | ({"methods_of": param.slot_kind} if param.slot_kind else {})


def format_methods(found: Sequence[dict[str, Any]]) -> str:
    """The list for people: one line a method, its parameters beneath."""
    lines: list[str] = []
    kind = ""
    for row in found:
        if row["kind"] != kind:
            kind = row["kind"]
            lines += ["", kind] if lines else [kind]
        numbers = ", ".join(f"#{n}" for n in row["catalogue"])
        paper = row["paper"]
        source = f" ({paper['authors']} {paper['year']})" if paper else ""
        hooks = f" [{', '.join(row['hooks'])}]" if row["hooks"] else ""
        lines.append(f"  {row['name']:20} {row['summary']}{source} {numbers}{hooks}".rstrip())
        for name, parameter in row["parameters"].items():
            searched = parameter["searched"]
            shown = " | ".join(searched) if isinstance(searched, list) else searched
            lines.append(f"      {name}: {shown}")
    return "\n".join(lines)
