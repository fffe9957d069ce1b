"""`autoreg front`: the front of a study."""

from __future__ import annotations

from typing import Annotated

import typer

from autoreg.commands.options import EXIT_EMPTY, StudyFolder


def front(
    folder: StudyFolder,
    format: Annotated[str, typer.Option(help="table, json or csv.")] = "table",
) -> None:
    """Print the front of a study."""
    from autoreg.report.data.front import front_rows
    from autoreg.report.data.load import StudyData
    from autoreg.report.text.front import format_front

    data = StudyData.load(folder)
    print(format_front(data, format))
    if not front_rows(data):
        raise typer.Exit(EXIT_EMPTY)
