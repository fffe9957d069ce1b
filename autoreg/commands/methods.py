"""`autoreg methods`: every method that a space may name."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from autoreg.commands.options import AsJson, Imports, import_first


def methods(as_json: AsJson = False, import_: Imports = []) -> None:  # noqa: B006
    """List every method: name, kind, parameters, paper, catalogue number, hooks."""
    import_first(import_)
    from autoreg.methods.listing import list_methods

    found = list_methods()
    print(json.dumps(found, indent=1) if as_json else format_methods(found))


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
