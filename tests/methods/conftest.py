"""No test leaves a method behind."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _leave_no_method_behind(own_methods: None) -> None:
    """As `own_methods`, for every test."""
