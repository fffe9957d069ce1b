"""The room as others see it."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import autoreg.plan
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


def test_no_module_here_imports_what_needs_torch_or_another_room_not_even_late() -> None:
    """Neither do the space and the plan. Late imports count: whoever needs torch stands elsewhere."""
    house = Path(autoreg.plan.__file__).parent
    files = [house / "plan.py", *(house / "search").rglob("*.py"), *(house / "space").rglob("*.py")]
    barred = ("torch", "ray", "autoreg.trial", "autoreg.execution")
    found = {
        (file.name, name)
        for file in files
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        for name in imported(node)
        if any(name == b or name.startswith(f"{b}.") for b in barred)
    }
    assert len(files) > 40
    assert found == set()


def imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module or ""] if isinstance(node, ast.ImportFrom) else []
