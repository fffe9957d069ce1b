"""`autoreg check`: what a space holds and what searching it would take, before anything trains."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from autoreg.commands.options import AsJson, Imports, Params, Store, import_first, task_params


def check(
    file: Annotated[str, typer.Argument(help="A space or a study file, or the name of a shipped one.")],
    task: Annotated[str | None, typer.Option(help="Check a space against this task.")] = None,
    trials: Annotated[int, typer.Option(min=1, help="Trials to estimate time and disk for.")] = 60,
    as_json: AsJson = False,
    store: Store = None,
    param: Params = [],  # noqa: B006
    import_: Imports = [],  # noqa: B006
) -> None:
    """Check a space or study: its size; with a task the range of costs and what to expect. Nothing trains."""
    import_first(import_)
    from autoreg.study.check import check_file

    found = check_file(file, task=task, params=task_params(param), imports=tuple(import_), trials=trials, store=store)
    print(json.dumps(found, indent=1) if as_json else format_check(found))


def format_check(found: Mapping[str, Any]) -> str:
    """What `check_file` found, for people."""
    space = found["space"]
    lines = [f"{space['name'] or 'space'}: {space['size']}", f"{len(space['parameters'])} parameters:"]
    for parameter in space["parameters"]:
        domain = parameter["domain"]
        lines.append(f"  {parameter['path']}: {domain if isinstance(domain, str) else ' | '.join(domain)}")
    lines += [f"note: {notice}" for notice in found.get("notices", ())]
    if "costs" in found:
        lines.append(f"costs of {found['recipes']} random recipes (lowest, median, highest; dense):")
        for name, row in found["costs"].items():
            source = " (predicted, from the weights before training)" if name == "file_bytes" else ""
            lines.append(
                f"  {name:16} {row['low']:>14,.0f} {row['median']:>14,.0f} {row['high']:>14,.0f}; {row['dense']:,.0f}"
                f"{source}"
            )
        timed = found["latency"]
        if timed is not None:
            lines.append(
                f"  {'latency_ms':16} {timed['low']:>14,.3f} {timed['median']:>14,.3f} {timed['high']:>14,.3f}; "
                f"{timed['dense']:,.3f} (predicted from this machine's table, median error {timed['error']:.1%})"
            )
        for row in found["constraints"]:
            share = row["note"] if row["share"] is None else f"met by {row['share']:.0%}"
            warning = f": {row['note']}" if row["share"] == 0 else ""
            lines.append(f"constraint {row['constraint']}: {share}{warning}")
        expect = found["expect"]
        if expect["teachers"]:
            lines.append(
                f"teachers: {expect['teachers']} dense trainings, {expect['seconds_of_teachers']:.2g} s, once for all "
                "recipes and seeds"
            )
        lines.append(
            f"expect at most {expect['seconds_per_trial']:.2g} s of training a trial, {expect['seconds'] / 60:.2g} "
            f"minutes and {expect['disk_bytes'] / 1e6:.0f} MB for {expect['trials']} trials ({expect['note']})"
        )
    return "\n".join(lines)
