"""No test leaves a method behind."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from autoreg.methods import discovery, registry


@pytest.fixture(autouse=True)
def _leave_no_method_behind() -> Iterator[None]:
    registry()
    before = dict(discovery._CLASSES)
    yield
    discovery._CLASSES.clear()
    discovery._CLASSES.update(before)
