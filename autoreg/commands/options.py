"""Options that commands share, and exit codes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from autoreg.errors import InputError

EXIT_EMPTY, EXIT_INPUT, EXIT_INTERRUPTED = 1, 2, 130

Params = Annotated[list[str], typer.Option("-p", "--param", help="A parameter of the task: -p name=value.")]
Imports = Annotated[
    list[str], typer.Option("--import", help="Import this module first: methods and tasks of your own.")
]
Store = Annotated[Path | None, typer.Option(help="Folder of finished phases that trials share.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
StudyFolder = Annotated[Path, typer.Argument(help="The folder of a study.")]


def import_first(names: Sequence[str]) -> None:
    """Import the modules of `--import`.

    Raises:
        InputError: one cannot be imported.
    """
    if names:
        from autoreg.trial.task_ref import import_modules

        import_modules(names)


def task_params(given: Sequence[str]) -> dict[str, Any]:
    """Parameters of `-p name=value`, as text: a task reads it as the type that its constructor names.

    Raises:
        InputError: one is not of this form.
    """
    found: dict[str, Any] = {}
    for text in given:
        name, sign, value = text.partition("=")
        if not sign or not name.isidentifier():
            raise InputError(f"-p {text}: expected name=value")
        found[name] = value
    return found
