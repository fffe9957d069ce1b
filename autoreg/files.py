"""Files that appear whole or not at all, and JSON that others may have written."""

from __future__ import annotations

import json
import math
import os
import uuid
from pathlib import Path
from typing import Any, TypeGuard


def write_whole(path: Path, content: bytes) -> None:
    """Write a file in one step: beside its place, then renamed into it. The folder is made where it is missing.

    Raises:
        OSError: the disk is full or the folder cannot be written; what was there before still is.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with open(beside, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def parse_json(text: str | bytes) -> Any:
    """Read one JSON document.

    Raises:
        ValueError: it is none, or its brackets are nested more deeply than Python reads.
    """
    try:
        return json.loads(text)
    except RecursionError:  # no `ValueError`, so that it would pass those who expect damaged files
        raise ValueError("nested too deeply") from None


def is_number(value: Any) -> TypeGuard[float]:
    """Whether a value read from a file is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
