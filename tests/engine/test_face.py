"""The room as others see it."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import autoreg.engine
import autoreg.plan

HOUSE = Path(autoreg.plan.__file__).parent


def test_every_name_that_is_offered_is_there() -> None:
    assert autoreg.engine.__all__ == sorted(autoreg.engine.__all__, key=lambda n: (not n.isupper(), n[0].islower(), n))
    for name in autoreg.engine.__all__:
        assert hasattr(autoreg.engine, name)


def test_search_is_a_plain_function() -> None:
    assert inspect.isfunction(autoreg.search)


def test_importing_the_engine_brings_in_nothing_heavy() -> None:
    """Neither torch nor ray at all; Optuna, scikit-learn, XGBoost and pandas when they are needed."""
    heavy = ("torch", "ray", "optuna", "sklearn", "xgboost", "pandas", "scipy", "matplotlib", "moocore")
    code = f"import sys, autoreg.engine; print([m for m in {heavy!r} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_a_search_brings_in_neither_torch_nor_ray() -> None:
    code = """
import sys
from tests.engine.problems import run
from tests.engine.toy_engine import toy
from autoreg.engine.log.optuna_view import OptunaView
engine = toy(24); run(engine)
assert engine.predictor()["trials"] == 24
print([m for m in ("torch", "ray") if m in sys.modules])
"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_no_module_here_imports_what_needs_torch_or_another_room_not_even_late() -> None:
    """Neither do the space and the plan. Late imports count: whoever needs torch stands elsewhere."""
    files = [
        HOUSE / "plan.py",
        HOUSE / "training_length.py",
        *(HOUSE / "engine").rglob("*.py"),
        *(HOUSE / "space").rglob("*.py"),
    ]
    barred = ("torch", "ray", "autoreg.trial", "autoreg.execution")
    found = {
        (file.name, name)
        for file in files
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        for name in imported(node, package_of(file))
        if any(name == b or name.startswith(f"{b}.") for b in barred)
    }
    assert len(files) > 40
    assert found == set()


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("import torch.nn", "torch.nn"),
        ("from torch import nn", "torch"),
        ("from autoreg import trial", "autoreg.trial"),
        ("from .. import trial", "autoreg.trial"),
        ("from ..trial.store import Store", "autoreg.trial.store"),
        ("from .engine import Engine", "autoreg.engine.engine"),
    ],
)
def test_every_way_to_import_is_seen(code: str, name: str) -> None:
    assert name in imported(ast.parse(code).body[0], "autoreg.engine")


def imported(node: ast.AST, package: str) -> list[str]:
    """Modules that a statement in a package may import; names that it takes from a module may be modules too."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if not isinstance(node, ast.ImportFrom):
        return []
    base = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
    return [base, *(f"{base}.{alias.name}" for alias in node.names)]


def package_of(file: Path) -> str:
    return ".".join(file.parent.relative_to(HOUSE.parent).parts)
