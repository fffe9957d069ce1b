"""A copy of the package, to which a test adds files of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import autoreg

ROOT = Path(autoreg.__file__).parent.parent


class PackageCopy:
    """A copy of `autoreg/` in a folder, and Python run on it alone."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        shutil.copytree(ROOT / "autoreg", folder / "autoreg", ignore=shutil.ignore_patterns("__pycache__"))

    def write(self, path: str, content: str) -> Path:
        """Write a file of the copy, its path as seen from the root of the repository."""
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
        return file

    def python(self, *arguments: str) -> str:
        """Run Python in the copy and return what it printed; raises with its output when it fails."""
        environment = {**os.environ, "PYTHONPATH": str(self.folder), "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(
            [sys.executable, *arguments], cwd=self.folder, env=environment, capture_output=True, text=True, timeout=240
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout
