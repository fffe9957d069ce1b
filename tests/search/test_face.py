"""The room as others see it."""

from __future__ import annotations

import subprocess
import sys

import autoreg.search


def test_every_name_that_is_offered_is_there() -> None:
    assert autoreg.search.__all__ == sorted(autoreg.search.__all__, key=lambda n: (not n.isupper(), n[0].islower(), n))
    for name in autoreg.search.__all__:
        assert hasattr(autoreg.search, name)


def test_the_room_can_be_called_as_the_function_of_its_name() -> None:
    assert callable(autoreg.search)


def test_importing_the_engine_brings_in_nothing_heavy() -> None:
    """Neither torch nor ray at all; Optuna, scikit-learn, XGBoost and pandas when they are needed."""
    heavy = ("torch", "ray", "optuna", "sklearn", "xgboost", "pandas", "scipy", "matplotlib", "moocore")
    code = f"import sys, autoreg.search; print([m for m in {heavy!r} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_a_search_brings_in_neither_torch_nor_ray() -> None:
    code = """
import sys
from tests.search.problems import run
from tests.search.test_engine import toy
from autoreg.search.view import OptunaView
engine = toy(24); run(engine)
assert engine.predictor()["trials"] == 24
print([m for m in ("torch", "ray") if m in sys.modules])
"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
