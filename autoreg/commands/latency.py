"""`autoreg latency`: this machine's table of layer times, and how well it predicts whole recipes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from autoreg.commands.options import AsJson, Imports, Params, Store, import_first, task_params


def latency(
    task: Annotated[str | None, typer.Option(help="The task whose network is timed.")] = None,
    study: Annotated[str | None, typer.Option(help="A study file or shipped study, in place of a task.")] = None,
    space: Annotated[str | None, typer.Option(help="A space; by default that of the task's shipped study.")] = None,
    recipes: Annotated[int, typer.Option(min=2, help="Held-out recipes that errors are measured on.")] = 50,
    as_json: AsJson = False,
    store: Store = None,
    param: Params = [],  # noqa: B006
    import_: Imports = [],  # noqa: B006
) -> None:
    """Build this machine's latency table: every layer that a space can reach, and how well it predicts recipes."""
    import_first(import_)

    from autoreg.report.text.progress import SearchProgress
    from autoreg.study.latency_table import build_table, study_of

    with SearchProgress() as progress:
        spec, params = study_of(task, study, space, task_params(param))
        found = build_table(
            spec,
            params,
            imports=tuple(import_),
            recipes=recipes,
            store=store,
            on_progress=lambda what, n, of: progress.update({"done": n, "total": of, "what": what}),
        )
    print(json.dumps(found, indent=1) if as_json else format_latency(found))


def format_latency(found: Mapping[str, Any]) -> str:
    """What `build_table` found, for people."""
    entries, check, correction = found["entries"], found["check"], found["correction"]
    seconds = found["seconds"]
    grid = " (a grid of those that the space can reach; what lies between is interpolated)"
    lines = [
        f"{found['device']['cpu']}, {found['device']['runtime']}, {found['device']['threads']} thread(s)",
        f"{entries['measured']} layers measured, {entries['reused']} reused"
        + (grid if entries["interpolated"] else "")
        + f" in {seconds['table'] / 60:.1f} minutes"
        + (f"; {entries['noisy']} on a disturbed machine" if entries["noisy"] else ""),
        f"{found['task']} on {found['space'] or 'its space'}: correction fitted on {found['fitted']} recipes "
        f"in {seconds['recipes'] / 60:.1f} minutes",
        *[f"  {weight:12.6g} x {name}" for name, weight in correction["weights"].items() if weight],
        f"error on {len(check['measured'])} other recipes: median {check['median']:.1%}, 90th percentile "
        f"{check['p90']:.1%}" + (f" ({check['noisy']} measured on a disturbed machine)" if check["noisy"] else ""),
        f"  (the plain sum of a recipe's layers errs by {found['sum_alone']:.1%} in the median)",
    ]
    for row in found["corners"]:
        lines.append(f"  {row['name']:14} predicted {row['predicted']:8.3f} ms, measured {row['measured']:8.3f} ms")
    lines.append(f"Table: {found['table']}")
    return "\n".join(lines)
