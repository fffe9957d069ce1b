"""The examples in the documentation run."""

from __future__ import annotations

import doctest
import importlib

import pytest

MODULES = [
    "base",
    "functional.affine",
    "layers.drop.distances",
    "layers.selectors",
    "noise.cutout",
    "regularizers.activation_kurtosis",
    "regularizers.group_lasso",
    "sparsity.allocations.erk",
    "sparsity.allocations.lamp",
    "sparsity.counts",
    "sparsity.schedules.gradual",
    "sparsity.structures.channel",
    "sparsity.structures.picking",
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings_hold(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from autoreg.methods import base, registry

    registry()
    monkeypatch.setattr(base, "_CLASSES", dict(base._CLASSES))  # examples declare methods of their own
    found = doctest.testmod(importlib.import_module(f"autoreg.methods.{name}"))
    assert found.attempted > 0
    assert found.failed == 0
