"""`autoreg export`: models of trials as files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from autoreg.commands.options import Imports, StudyFolder, import_first
from autoreg.errors import InputError


def export(
    folder: StudyFolder,
    trial: Annotated[list[int], typer.Option(help="Number of a trial; may be repeated.")] = [],  # noqa: B006
    baseline: Annotated[
        list[str], typer.Option(help="Name of a baseline of the final evaluation; may be repeated.")
    ] = [],  # noqa: B006
    all_front: Annotated[bool, typer.Option("--all-front", help="The whole front, baselines on it too.")] = False,
    format: Annotated[
        str | None, typer.Option(help="onnx, torch or safetensors; by default that of the study's file_bytes, or onnx.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the files; DIR/exports by default.")] = None,
    compress: Annotated[bool, typer.Option("--compress", help="Entropy coding of integer weights.")] = False,
    import_: Imports = [],  # noqa: B006
) -> None:
    """Write the model of a trial as a file, run the file, and compare it with what the trial recorded."""
    import_first(import_)
    from autoreg.study.export import export_trials

    if bool(trial or baseline) == all_front:
        raise InputError(
            "export: name trials with --trial N and baselines with --baseline NAME, or take the whole front with "
            "--all-front"
        )

    def show(line: str) -> None:
        print(line, flush=True)

    export_trials(folder, trial, format, baselines=baseline, out=out, compress=compress, on_done=show)
