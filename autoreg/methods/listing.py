"""Every method that a space may name, as JSON, from what each declares."""

from __future__ import annotations

from typing import Any

from autoreg.methods.discovery import registry
from autoreg.space.nodes import Choice, Constant, Range, describe_range
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
        searched = describe_range(node)
    elif isinstance(node, Choice):
        searched = [option.label for option in node.options]
    elif isinstance(node, Constant):
        searched = node.value
    row = {"type": param.type, "default": param.default, "searched": searched, "doc": param.doc}
    return row | ({"methods_of": param.slot_kind} if param.slot_kind else {})
