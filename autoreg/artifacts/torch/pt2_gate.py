"""What may stand in a `.pt2` file before `torch.export.load` sees it.

`torch.export.load` (read in torch 2.13) does more than read numbers: it unpickles what a file marks as pickled and,
where a safe attempt fails, the example and older files' weights; it hands expressions of sizes to `sympy.sympify` and
guards to Python, which evaluate them; it looks operators up by name anywhere in `torch`; it imports the modules of
enumerations. Here a file is refused in which there is anything of these kinds beyond arithmetic of ATen, and what was
checked is packed anew, so that torch reads those very bytes.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Iterator
from typing import Any

from autoreg.errors import InputError

_PAYLOADS = ("data/weights/model_weights_config.json", "data/constants/model_constants_config.json")
_MODEL, _NOTES = "models/model.json", "extra/autoreg.json"
_EMPTY = "data/sample_inputs/model.pt"
_PLAIN = re.compile(
    r"archive_format|archive_version|byteorder|\.data/\w+|\.format_version|\.storage_alignment|version"
    r"|data/weights/weight_\d+|data/constants/tensor_\d+"
)
_SIZES = re.compile(
    r"_operator\.(getitem|add|sub|mul|floordiv|truediv|mod|neg|pow|eq|ne|lt|le|gt|ge|and_|or_|not_)"
    r"|math\.(floor|ceil|trunc)|torch\.sym_(int|float|not|max|min|sum|ite)"
)
_FILES = ("from_file", "_print", "save")
_TOKEN = re.compile(
    r"\s*(?:'[a-z]\d+'|\d+(?:\.\d+)?|\*\*|//|[-+*/(),=<>&|~]|"
    r"(?:Symbol|Integer|Float|Rational|Add|Mul|Pow|Max|Min|Mod|FloorDiv|CleanDiv|CeilDiv|PythonMod|ModularIndexing"
    r"|Eq|Ne|Lt|Le|Gt|Ge|StrictLessThan|StrictGreaterThan|LessThan|GreaterThan|Equality|Unequality|And|Or|Not"
    r"|positive|nonnegative|integer|finite|True|False|evaluate|[suz]\d+)\b)"
)
_NAME = re.compile(r"[\w.]*")
_CONTAINERS = (None, "builtins.tuple", "builtins.list", "builtins.dict", "collections.OrderedDict")


def checked_program(content: bytes, where: str) -> bytes:
    """The same program with nothing in it but numbers, names and arithmetic.

    Args:
        content: the file.
        where: its name, for messages.

    Returns:
        The file packed anew.

    Raises:
        InputError: if it is no such file, or holds what `torch.export.load` would execute.
    """
    try:
        parts = _parts(content)
        for name, part in parts.items():
            _check(name, part)
        if _MODEL not in parts or _NOTES not in parts:
            raise _Refused("not written by `autoreg export --format torch`")
    except _Refused as refused:
        raise InputError(f"{where}: {refused}") from refused
    except (
        zipfile.BadZipFile,
        KeyError,
        TypeError,
        ValueError,
        AttributeError,
        EOFError,
        NotImplementedError,
    ) as error:
        raise InputError(f"{where}: no program of torch.export, or damaged ({error})") from error
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, part in parts.items():
            archive.writestr(zipfile.ZipInfo(f"archive/{name}"), part)
    return buffer.getvalue()


class _Refused(Exception):
    """Why a file is not read."""


def _parts(content: bytes) -> dict[str, bytes]:
    """Members of the archive by their name within its one folder."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        found: dict[str, bytes] = {}
        folders = set()
        for info in archive.infolist():
            folder, _, name = info.filename.partition("/")
            folders.add(folder)
            if name in found or len(folders) > 1 or info.compress_type != zipfile.ZIP_STORED:
                raise _Refused(f"damaged: an unexpected entry {info.filename!r}")
            found[name] = archive.read(info)
        return found


def _check(name: str, part: bytes) -> None:
    if name == _MODEL:
        _check_model(json.loads(part))
    elif name in _PAYLOADS:
        for entry in json.loads(part)["config"].values():
            if entry["use_pickle"] is not False or not re.fullmatch(r"(weight|tensor)_\d+", entry["path_name"]):
                raise _Refused(f"holds a tensor that would be unpickled ({entry['path_name']!r})")
    elif name == _NOTES:
        json.loads(part)
    elif name == _EMPTY:
        if part:
            raise _Refused("holds an example, which would be unpickled")
    elif not _PLAIN.fullmatch(name):
        raise _Refused(f"holds an entry {name!r}, which programs written here do not have")


def _check_model(model: dict[str, Any]) -> None:
    if model.get("guards_code"):
        raise _Refused("holds guards, which would be executed")
    for key, value in _entries(model):
        if key == "target" and not (_SIZES.fullmatch(value) or _is_aten(value)):
            raise _Refused(f"calls {value!r}, which is no arithmetic of ATen")
        if key == "expr_str" and _TOKEN.sub("", value).strip():
            raise _Refused(f"holds the expression {value!r}, which would be evaluated")
        if key in ("in_spec", "out_spec") and isinstance(value, str):
            _check_spec(json.loads(value)[1])
        if key in ("metadata", "treespec_namedtuple_fields", "guards_code") and value:
            raise _Refused(f"holds {key}, which programs written here do not have")
        if key in ("as_custom_obj", "custom_obj", "as_opaque", "as_graph", "as_operator") and value is not None:
            raise _Refused(f"holds an object of kind {key!r}")
        if key in ("name", "forward_arg_names") and isinstance(value, str) and not _NAME.fullmatch(value):
            raise _Refused(f"holds the name {value!r}")


def _is_aten(target: str) -> bool:
    """Whether a name is that of an ATen operator, one that touches no files."""
    import torch

    path = target.split(".")
    if len(path) != 5 or path[:3] != ["torch", "ops", "aten"] or path[3] in _FILES:
        return False
    found = getattr(getattr(torch.ops.aten, path[3], None), path[4], None)
    return isinstance(found, torch._ops.OpOverload)


def _check_spec(spec: dict[str, Any]) -> None:
    """Containers of inputs and outputs: built-in ones, their keys strings or numbers."""
    if spec["type"] not in _CONTAINERS:
        raise _Refused(f"returns or takes a {spec['type']}")
    keys = json.loads(spec["context"]) if isinstance(spec["context"], str) else spec["context"]
    if not all(isinstance(key, str | int) for key in keys or ()):
        raise _Refused("holds keys that are neither strings nor numbers")
    for child in spec["children_spec"]:
        _check_spec(child)


def _entries(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """All values in a JSON document with the key that they or their list stand under, containers included."""
    yield key, value
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _entries(inner, name)
    elif isinstance(value, list):
        for inner in value:
            yield from _entries(inner, key)
