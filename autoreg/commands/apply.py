"""`autoreg apply`: one recipe run outside a search."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from autoreg.commands.options import AsJson, Imports, Params, Store, import_first, task_params


def apply(
    recipe: Annotated[str, typer.Argument(help="A recipe file (YAML or JSON), or DIR:N for the one of a trial.")],
    task: Annotated[str | None, typer.Option(help="The task; with DIR:N the study's own.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="The trial's seed; with DIR:N the study's.")] = None,
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Share no work with other trials.")] = False,
    as_json: AsJson = False,
    store: Store = None,
    param: Params = [],  # noqa: B006
    import_: Imports = [],  # noqa: B006
) -> None:
    """Run one recipe outside a search: metrics, costs, and what became of each layer."""
    import_first(import_)
    from autoreg.study.apply import apply_recipe

    found = apply_recipe(
        recipe, task=task, params=task_params(param), imports=tuple(import_), seed=seed, cache=not no_cache, store=store
    )
    print(json.dumps(found, indent=1) if as_json else format_applied(found))


def format_applied(found: Mapping[str, Any]) -> str:
    """What `apply_recipe` found, for people."""
    lines = [f"{found['task']}, seed {found['seed']}: {json.dumps(found['recipe'], sort_keys=True)}", ""]
    for name, value in found["metrics"].items():
        lines.append(f"{name:16} {value:>16,.4f}" if abs(value) < 1000 else f"{name:16} {value:>16,.0f}")
    lines.append(f"{'epochs':16} {found['epochs_requested']:>16g} requested, {found['epochs_run']:g} run")
    lines += ["", f"{'layer':28} {'type':10} {'shape':18} {'density':>7} {'w bits':>6} {'a bits':>6}  trained"]
    for layer in found["layers"]:
        if layer["dropped"]:
            lines.append(f"{layer['name']:28} {layer['type']:10} dropped")
            continue
        shape = "×".join(str(size) for size in layer["shape"])
        lines.append(
            f"{layer['name']:28} {layer['type']:10} {shape:18} {layer['density']:>7.1%} {layer['weight_bits']:>6} "
            f"{layer['activation_bits']:>6}  {'yes' if layer['trained'] else 'no'}"
        )
    return "\n".join([*lines, *(f"note: {note}" for note in found["notes"])])
