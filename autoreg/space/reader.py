"""YAML and JSON files as plain data that remembers its lines.

YAML is read by the 1.2 core rules: `1e-5` is a number; `2:4`, `none` and `on` are strings. Duplicate
keys, tags, merge keys and null are refused. The scanner is ruamel's; what a scalar means is decided here.
"""

from __future__ import annotations

import io
import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path as File
from typing import Any

from autoreg.errors import InputError
from autoreg.space.problems import Path, Places, problem, show

_INT = re.compile(r"[-+]?[0-9]+")
_OCTAL = re.compile(r"0o[0-7]+")
_HEX = re.compile(r"0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_WORDS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_NULLS = ("", "~", "null", "Null", "NULL")
_MAX_DEPTH = 60
_MAX_PARTS = 200_000


@dataclass(frozen=True)
class Document:
    """Plain data (dicts, lists, scalars) and the places it was read from."""

    data: Any
    places: Places

    def under(self, *parts: str | int) -> Document:
        """The part of the document at `parts`."""
        data = self.data
        for part in parts:
            data = data[part]
        return Document(data, self.places.under(*parts))


class Located(dict[str, Any]):
    """A dict that was read from a file and remembers where its parts stand."""

    def __init__(self, data: dict[str, Any], places: Places) -> None:
        super().__init__(data)
        self.places = places


def read_text(path: File | str) -> str:
    """Read a text file; every failure is an `InputError` that names the file."""
    try:
        return File(path).read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file") from None
    except IsADirectoryError:
        raise InputError(f"{path}: this is a folder; a file is expected") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not a text file in UTF-8 ({error.reason} at byte {error.start})") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None


def read_file(path: File | str) -> Document:
    """Read a `.json` file as JSON and any other as YAML."""
    text = read_text(path)
    return read_json(text, str(path)) if str(path).endswith(".json") else read_yaml(text, str(path))


def read_yaml(text: str, source: str = "<string>") -> Document:
    """Read one YAML document.

    Raises:
        InputError: with the line, when it is not YAML, is empty, or uses what is refused here.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    try:
        events = list(YAML(typ="safe", pure=True).parse(io.StringIO(text)))
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{source}:{mark.line + 1}" if mark is not None else source
        context = f" {error.context}" if error.context else ""
        if error.context_mark is not None and error.context_mark.line != mark.line:
            context += f" that begins in line {error.context_mark.line + 1}"
        raise InputError(f"{where}: not valid YAML: {error.problem}{context}") from None
    except YAMLError as error:
        raise InputError(f"{source}: not valid YAML: {str(error).splitlines()[0]}") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{source}: not valid YAML: {error}") from None
    return _Builder(events, source).document()


def read_json(text: str, source: str = "<string>") -> Document:
    """Read one JSON document; duplicate keys, null and numbers that are not finite are refused."""
    places = Places(source)

    def refuse(word: str) -> Any:
        raise problem(source, f"found {word}", allowed="finite numbers")

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in pairs:
            if key in found:
                raise problem(source, f"the key {key!r} is given twice")
            found[key] = value
        return found

    try:
        data = json.loads(text, object_pairs_hook=unique, parse_constant=refuse)
    except json.JSONDecodeError as error:
        raise InputError(f"{source}:{error.lineno}: not valid JSON: {error.msg}") from None
    except (ValueError, RecursionError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{source}: not valid JSON: {error}") from None
    _refuse_nulls(data, places, ())
    return Document(data, places)


def _refuse_nulls(data: Any, places: Places, path: Path) -> None:
    if data is None:
        raise problem(places.at(path), "found nothing (null)", allowed='a value; for "nothing" write none')
    if isinstance(data, float) and not math.isfinite(data):
        raise problem(places.at(path), f"found {data}", allowed="finite numbers")
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in items:
        _refuse_nulls(value, places, (*path, key))


class _Builder:
    """Folds a stream of YAML events into data and lines."""

    def __init__(self, events: list[Any], source: str) -> None:
        self._events: Iterator[Any] = iter(events)
        self._source = source
        self._lines: dict[Path, int] = {}
        self._anchors: dict[str, Any] = {}
        self._parts = 0
        self._documents = sum(type(event).__name__ == "DocumentStartEvent" for event in events)
        self._second = [e.start_mark.line for e in events if type(e).__name__ == "DocumentStartEvent"][1:]

    def document(self) -> Document:
        if self._documents == 0:
            raise problem(self._source, "the file is empty", allowed="a mapping of names to values")
        if self._documents > 1:
            raise problem(f"{self._source}:{self._second[0] + 1}", "a second document begins", allowed="one document")
        for event in self._events:
            if type(event).__name__ == "DocumentStartEvent":
                break
        return Document(self._node(next(self._events), ()), Places(self._source, self._lines))

    def _place(self, event: Any, path: Path) -> str:
        return Places(self._source, {path: event.start_mark.line + 1}).at(path)

    def _node(self, event: Any, path: Path) -> Any:
        self._parts += 1
        if len(path) > _MAX_DEPTH or self._parts > _MAX_PARTS:
            raise problem(f"{self._source}:{event.start_mark.line + 1}", "nested too deeply or too large to be meant")
        self._lines.setdefault(path, event.start_mark.line + 1)
        kind = type(event).__name__
        if kind == "AliasEvent":
            return self._alias(event, path)
        if event.tag is not None:
            raise problem(
                self._place(event, path), f"found the tag {_short(event.tag)!r}", allowed="plain values without tags"
            )
        if event.anchor is not None:
            self._anchors.pop(event.anchor, None)
        if kind == "ScalarEvent":
            data: Any = self._scalar(event, path)
        elif kind == "SequenceStartEvent":
            data = []
            for item in self._until("SequenceEndEvent"):
                data.append(self._node(item, (*path, len(data))))
        else:
            data = self._mapping(path)
        if event.anchor is not None:
            self._anchors[event.anchor] = data
        return data

    def _until(self, end: str) -> Iterator[Any]:
        while type(event := next(self._events)).__name__ != end:
            yield event

    def _mapping(self, path: Path) -> dict[str, Any]:
        data: dict[str, Any] = {}
        for event in self._until("MappingEndEvent"):
            key = self._key(event, path)
            if key in data:
                raise problem(
                    self._place(event, (*path, key)), f"the key {key!r} is given twice", allowed="each key once"
                )
            self._lines[(*path, key)] = event.start_mark.line + 1
            data[key] = self._node(next(self._events), (*path, key))
        return data

    def _key(self, event: Any, path: Path) -> str:
        if type(event).__name__ != "ScalarEvent":
            raise problem(self._place(event, path), "found a key that is not a plain name", allowed="names as keys")
        if event.tag is not None:
            raise problem(
                self._place(event, path), f"found the tag {_short(event.tag)!r}", allowed="plain keys without tags"
            )
        if event.style is None and event.value == "<<":
            raise problem(self._place(event, path), "found the merge key '<<'", allowed="every key written out")
        value = self._scalar(event, path)
        if not isinstance(value, str):
            quoted = json.dumps(event.value)
            raise problem(
                self._place(event, path), f"found the key {show(value)}, which is not text", allowed=f"quoted: {quoted}"
            )
        return value

    def _alias(self, event: Any, path: Path) -> Any:
        if event.anchor not in self._anchors:
            what = f"the alias '*{event.anchor}' has no anchor above it"
            allowed = [f"*{name}" for name in self._anchors]
            raise problem(self._place(event, path), what, allowed=allowed, wrong=f"*{event.anchor}")
        return self._copied(event, self._anchors[event.anchor], path)

    def _copied(self, event: Any, data: Any, path: Path) -> Any:
        self._parts += 1
        if self._parts > _MAX_PARTS:
            raise problem(self._place(event, path), "aliases make this too large to be meant")
        if isinstance(data, dict):
            return {key: self._copied(event, value, (*path, key)) for key, value in data.items()}
        if isinstance(data, list):
            return [self._copied(event, value, (*path, index)) for index, value in enumerate(data)]
        return data

    def _scalar(self, event: Any, path: Path) -> Any:
        text: str = event.value
        if event.style is not None:
            return text
        if text in _NULLS:
            place = Places(self._source, self._lines).at(path)  # the line of the name: what is empty has none
            raise problem(place, "found nothing (null)", allowed='a value; for "nothing" write none')
        if _NOT_FINITE.fullmatch(text):
            raise problem(self._place(event, path), f"found {text}", allowed="finite numbers")
        try:
            return _resolve(text)
        except ValueError:
            raise problem(
                self._place(event, path), f"the number {text[:20]}... is too large", allowed="finite numbers"
            ) from None


def _short(tag: str) -> str:
    return tag.replace("tag:yaml.org,2002:", "!!")


def _resolve(text: str) -> bool | int | float | str:
    """The value of a plain scalar by the core rules of YAML 1.2."""
    if text in _WORDS:
        return _WORDS[text]
    if _INT.fullmatch(text):
        return int(text)
    if _OCTAL.fullmatch(text):
        return int(text[2:], 8)
    if _HEX.fullmatch(text):
        return int(text[2:], 16)
    if _FLOAT.fullmatch(text):
        number = float(text)
        if not math.isfinite(number):
            raise ValueError(text)
        return number
    return text
