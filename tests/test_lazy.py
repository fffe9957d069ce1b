"""A lazy module is imported by its first use, and by nothing else."""

from __future__ import annotations

import inspect
import sys

import pytest

from autoreg.lazy import lazy_module


def test_a_module_is_imported_when_something_of_it_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    stand_in = lazy_module("colorsys")
    assert "colorsys" in repr(stand_in)
    assert "colorsys" not in sys.modules
    assert stand_in.rgb_to_hsv(0.0, 0.0, 1.0) == (2 / 3, 1.0, 1.0)
    assert "colorsys" in sys.modules


def test_tools_that_look_at_everything_import_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    stand_in = lazy_module("colorsys")
    assert inspect.unwrap(stand_in) is stand_in
    assert "colorsys" not in sys.modules
