"""Files of runs, one JSON line each, and the state of the source that runs of our engine belong to."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import autoreg


@functools.cache
def state() -> str:
    """Eight hex digits over the source of the engine and the space, as it was when this process first asked."""
    root = Path(autoreg.__file__).parent
    text = b"".join(p.read_bytes() for room in ("engine", "space") for p in sorted((root / room).rglob("*.py")))
    return hashlib.sha256(text).hexdigest()[:8]


def read(path: Path) -> Iterator[dict[str, Any]]:
    """Runs of a file; a line that was cut off by a kill is passed over."""
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            yield json.loads(line)
        except json.JSONDecodeError:
            continue
