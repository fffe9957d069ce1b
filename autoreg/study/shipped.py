"""The spaces and studies that come with the package: in a checkout at its top, in a wheel beside the code."""

from __future__ import annotations

import difflib
from pathlib import Path

from autoreg.errors import InputError

_PACKAGE = Path(__file__).resolve().parent.parent
_KINDS = {"space": "search_spaces", "study": "studies"}


def shipped(kind: str) -> dict[str, Path]:
    """Ready files of a kind (`space` or `study`) by name, without their `.yaml`."""
    for folder in (_PACKAGE / "data" / _KINDS[kind], _PACKAGE.parent / _KINDS[kind]):
        if folder.is_dir():
            return {file.stem: file for file in sorted(folder.glob("*.yaml"))}
    return {}


def find(kind: str, name: str) -> Path:
    """The file of a shipped space or study; the name may carry its `.yaml`.

    Raises:
        InputError: none has that name; the message lists what there is.
    """
    known = shipped(kind)
    stem = name.removesuffix(".yaml").removesuffix(".yml")
    if stem in known:
        return known[stem]
    near = difflib.get_close_matches(stem, known, 1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise InputError(f"no {kind} is called {name!r} (shipped are {', '.join(known)}){hint}")
