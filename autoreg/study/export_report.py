"""The JSON file beside an exported file: how it compares with its trial, or why there is none."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autoreg.errors import AutoregError
from autoreg.study.folder import write_json


@dataclass
class ExportReport:
    """The JSON file beside an export: filled while it goes on, written however it ends.

    Attributes:
        path: of the exported file; the JSON file has its name and `.json`.
        copy_to: a folder that gets a copy; None for none.
        content: what is known so far.
    """

    path: Path
    copy_to: Path | None
    content: dict[str, Any]

    def write(self, fault: str | None) -> None:
        """Write the file; `fault` says why there is no exported file, None that there is one.

        Raises:
            StudyError: the folder cannot be written.
        """
        content = {**self.content, "time": time.strftime("%Y-%m-%dT%H:%M:%S"), "fault": fault}
        content["file"] = self.path.name if fault is None else None
        if fault is not None and self.path.exists():
            content["earlier_file"] = self.path.name  # of an earlier export: untouched
        name = f"{self.path.name}.json"
        write_json(self.path.with_name(name), content)
        if self.copy_to is not None:
            write_json(self.copy_to / name, {**content, "folder": str(self.path.parent)})

    def write_fault(self, error: Exception) -> None:
        """Write why there is no exported file, or at least remove what an earlier export wrote."""
        try:
            self.write(f"{type(error).__name__}: {error}")
        except (AutoregError, OSError, ValueError):  # a full disk: then at least nothing old stands there
            for folder in (self.path.parent, self.copy_to):
                if folder is not None:
                    with contextlib.suppress(OSError):
                        (folder / f"{self.path.name}.json").unlink(missing_ok=True)
