"""What the tests with a real Ray share."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def place() -> Iterator[Path]:
    """A short path, since Ray puts sockets there; one for all, since a process reads Ray's token only once."""
    folder = Path(tempfile.mkdtemp(prefix="ar"))
    (folder / "ray").mkdir()
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def home(place: Path) -> Iterator[Path]:
    """A home of its own, since Ray keeps a token there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(place))
        patch.setenv("RAY_TMPDIR", str(place))
        patch.delenv("RAY_ADDRESS", raising=False)
        yield place
