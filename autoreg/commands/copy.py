"""`autoreg copy`: a ready space or study, to edit."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from autoreg.errors import InputError


def copy(
    name: Annotated[str | None, typer.Argument(help="A shipped space or study; without it they are listed.")] = None,
    to: Annotated[Path, typer.Option(help="Folder to copy to.")] = Path("."),
) -> None:
    """Copy a ready space or study, to edit."""
    from autoreg.study.shipped import find_shipped, shipped

    if name is None:
        for kind in ("study", "space"):
            for stem, file in shipped(kind).items():
                first = file.read_text(encoding="utf-8").splitlines()[0].lstrip("# ")
                print(f"{kind}  {stem:15} {first}")
        return
    stem = name.removesuffix(".yaml")
    source = shipped("study").get(stem) or shipped("space").get(stem)
    if source is None:
        source = find_shipped("study", name)  # raises, naming what there is
    target = to / source.name
    if target.exists():
        raise InputError(f"{target}: is there already; nothing was copied")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(source.read_text(encoding="utf-8"), encoding="utf-8")
    print(target)
