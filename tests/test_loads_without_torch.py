"""Modules that say that they load without torch do."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import autoreg

ROOT = Path(autoreg.__file__).parent


def promised() -> list[str]:
    """Names of the modules whose docstring says so."""
    found = []
    for path in sorted(ROOT.rglob("*.py")):
        text = " ".join((ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").split())
        if "Loads without torch" in text:
            found.append(".".join(path.relative_to(ROOT.parent).with_suffix("").parts))
    return found


def test_modules_that_say_so_load_without_torch() -> None:
    """One after the other in a new process; the first that brings torch along is named."""
    names = promised()
    assert "autoreg.costs.predict" in names
    code = (
        "import importlib, sys\n"
        "for name in sys.argv[1:]:\n"
        "    importlib.import_module(name)\n"
        "    if 'torch' in sys.modules: sys.exit(f'{name} imports torch')\n"
    )
    done = subprocess.run([sys.executable, "-c", code, *names], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
