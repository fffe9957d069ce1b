"""The spaces and studies that come with the package: in a checkout at its top, in a wheel beside the code."""

from __future__ import annotations

import difflib
from pathlib import Path

from autoreg.errors import InputError
from autoreg.space import Space, StudySpec

_PACKAGE = Path(__file__).resolve().parent.parent
_KINDS = {"space": "search_spaces", "study": "studies"}


def shipped(kind: str) -> dict[str, Path]:
    """Ready files of a kind (`space` or `study`) by name, without their `.yaml`."""
    for folder in (_PACKAGE / "data" / _KINDS[kind], _PACKAGE.parent / _KINDS[kind]):
        if folder.is_dir():
            return {file.stem: file for file in sorted(folder.glob("*.yaml"))}
    return {}


def find_shipped(kind: str, name: str) -> Path:
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


def load_study(name: str) -> StudySpec:
    """A study from its file, or a shipped one by its name.

    Raises:
        InputError: there is none, or it is wrong in itself.
    """
    return StudySpec.load(_file("study", name), resolve_shipped=lambda space: find_shipped("space", space))


def load_space(name: str) -> Space:
    """A space from its file, or a shipped one by its name.

    Raises:
        InputError: there is none, or it is wrong in itself.
    """
    return Space.load(_file("space", name))


def load_study_or_space(name: str) -> StudySpec | Space:
    """Whichever of the two a file holds; of shipped ones of the same name the study.

    Raises:
        InputError: there is none, or it is wrong in itself.
    """
    path = _file("study" if name.removesuffix(".yaml") in shipped("study") else "space", name)
    return load_study(str(path)) if StudySpec.is_study(path) else Space.load(path)


def _file(kind: str, name: str) -> Path:
    path = Path(name)
    if path.exists():
        return path
    if path.suffix in (".yaml", ".yml") and path.stem not in shipped(kind):
        raise InputError(f"{name}: no such file")
    return find_shipped(kind, name)
