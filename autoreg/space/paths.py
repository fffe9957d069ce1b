"""Names of parameters: the path of labels, joined by dots, so that no two parameters share one."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterable

_PLAIN = re.compile(r"[^.\[\]\"'=\s]+")


def join(parts: Iterable[str]) -> str:
    """Join the parts of a path; a part that is not plain (it has a dot, say) stands in brackets.

    >>> join(["sparsity", "weight", "amount"])
    'sparsity.weight.amount'
    >>> join(["bits", "stem.*"])
    'bits["stem.*"]'
    """
    path = ""
    for part in parts:
        path = child(path, part)
    return path


@functools.lru_cache(maxsize=65_536)  # spaces are walked thousands of times for one proposal
def child(path: str, part: str) -> str:
    """The path of what stands under `path` by the name `part`."""
    if _PLAIN.fullmatch(part):
        return f"{path}.{part}" if path else part
    return f"{path}[{json.dumps(part, ensure_ascii=False)}]"


def in_expression(path: str) -> str:
    """The path as expressions write it: a part that is no identifier stands in brackets.

    >>> in_expression("sparsity.2:4.schedule.gradual")
    'sparsity["2:4"].schedule.gradual'
    """

    def spell(match: re.Match[str]) -> str:
        part = match.group(1)
        return f".{part}" if part.isidentifier() else f"[{json.dumps(part, ensure_ascii=False)}]"

    return re.sub(r"\.([^.\[\]]+)", spell, path)
