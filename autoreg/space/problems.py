"""How a wrong input is reported: the place, what was found, what is allowed, the nearest right name."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from autoreg.errors import InputError

Path = tuple[str | int, ...]

_MAX_NAMES = 24


@dataclass(frozen=True)
class Places:
    """Where the parts of an input were written: the file and, by path into the data, the line.

    Inputs made in Python have a source and no lines; their places are known by the path alone.
    """

    source: str = "space"
    lines: Mapping[Path, int] = field(default_factory=dict)
    prefix: Path = ()

    def under(self, *parts: str | int) -> Places:
        """The places of the part at `parts`, whose own paths begin anew there."""
        return Places(self.source, self.lines, self.prefix + parts)

    def line(self, path: Path = ()) -> int | None:
        """The line of the nearest part at or above `path`, counted from 1."""
        full = self.prefix + path
        for end in range(len(full), -1, -1):
            if full[:end] in self.lines:
                return self.lines[full[:end]]
        return None

    def at(self, path: Path = ()) -> str:
        """`file:line: path` as far as they are known."""
        line = self.line(path)
        source = self.source if line is None else f"{self.source}:{line}"
        words = dotted(self.prefix + path)
        return f"{source}: {words}" if words else source


def dotted(path: Path) -> str:
    """A path into nested data as people read it.

    >>> dotted(("regularizer", 1, "l1", "strength"))
    'regularizer[1].l1.strength'
    """
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else part
    return text


def show(value: Any, width: int = 60) -> str:
    """A found value as the message quotes it: short, on one line, in the words of YAML."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "nothing (null)"
    text = repr(value).replace("\n", " ")
    return text if len(text) <= width else text[: width - 3] + "..."


def nearest(name: str, allowed: Iterable[str]) -> str | None:
    """The allowed name that `name` most likely stands for, or None when nothing is close.

    >>> nearest("unifrom", ["log", "uniform"])
    'uniform'
    """
    names = list(dict.fromkeys(allowed))
    plain = {_plain(candidate): candidate for candidate in reversed(names)}
    if _plain(name) in plain:
        return plain[_plain(name)]
    close = difflib.get_close_matches(_plain(name), list(plain), 1, 0.6 if len(name) > 3 else 0.5)
    if close:
        return plain[close[0]]
    begun = [key for key in plain if len(key) >= 3 and _plain(name).startswith(key)]  # minimize for min
    if begun:
        return plain[max(begun, key=len)]
    tails = {candidate.rsplit(".", 1)[-1]: candidate for candidate in names if "." in candidate}
    close = difflib.get_close_matches(name, list(tails), 1, 0.75)
    return tails[close[0]] if close else None


def _plain(name: str) -> str:
    return re.sub(r"[-_ ]", "_", name.casefold())


def problem(
    place: str,
    what: str,
    *,
    allowed: str | Sequence[str] | None = None,
    wrong: str | None = None,
    near: Iterable[str] = (),
) -> InputError:
    """Make the error for something wrong at `place`.

    Args:
        place: where, as `Places.at` gives it.
        what: what was found, and why it is wrong.
        allowed: what would be right, in words or as a list of names.
        wrong: the name that was given; the nearest of `allowed` and `near` is suggested for it.
        near: further names that may be suggested.
    """
    text = f"{place}: {what}"
    names: list[str] = []
    if isinstance(allowed, str):
        text += f"; allowed: {allowed}"
    elif allowed is not None:
        names = list(allowed)
        more = f", ... ({len(names)} in all)" if len(names) > _MAX_NAMES else ""
        text += f"; allowed: {', '.join(names[:_MAX_NAMES]) or 'nothing'}{more}"
    close = nearest(wrong, [*names, *near]) if wrong is not None else None
    if close is not None and close != wrong:
        text += f"; did you mean {close!r}?"
    return InputError(text)
