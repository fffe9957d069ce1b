"""`autoreg latency`: this machine's table of layer times, and how well it tells the time of whole recipes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from autoreg.costs.levels import Levels
from autoreg.errors import InputError
from autoreg.latency.calibration import Correction, error_quantiles, fit
from autoreg.latency.table.grid import MAX_MEASURED_LAYERS, layers_to_measure
from autoreg.latency.table.layer_key import LAYER_KINDS
from autoreg.latency.table.model import HeldOutErrors, LatencyModel, network_digest, save_correction, timed_network
from autoreg.latency.table.table import LatencyTable
from autoreg.latency.timing import device_fingerprint
from autoreg.space import Space
from autoreg.space.study_spec import StudySpec
from autoreg.study.timed_recipes import Measured, artifact, corners, draw, time_artifact, time_recipes

DRAWS = 400  # recipes that show which kinds of layers a space can leave
RECIPES = 50  # that errors are measured on

OnProgress = Callable[[str, int, int], None]


def study_of(
    task: str | None, study: str | None, space: str | None, params: Mapping[str, Any]
) -> tuple[StudySpec, dict[str, Any]]:
    """The study whose recipes are timed, and the parameters of its task.

    Args:
        task: name of a task; its shipped study gives the space, unless `space` does.
        study: path or name of a study, in place of a task.
        space: path or name of a space.
        params: of the task; they override the study's.

    Raises:
        InputError: neither or both of task and study are given, or a task has no shipped study and no space is named.
    """
    from autoreg.study.shipped import find, shipped

    def load(name: str) -> StudySpec:
        path = Path(name) if Path(name).exists() else find("study", name)
        return StudySpec.load(path, resolve_shipped=lambda one: find("space", one))

    if (task is None) == (study is None):
        raise InputError("latency: say either --task or --study, whose recipes are timed")
    spec = load(study) if study is not None else None
    if task is not None:
        known = [load(name) for name in shipped("study")]
        spec = next((one for one in known if one.task == task), None)
    own = spec.task_params if spec is not None else {}
    if space is not None:
        path = Path(space) if Path(space).exists() else find("space", space)
        spec = StudySpec.for_space(Space.load(path), task or (spec.task if spec is not None else ""))
    if spec is None:
        raise InputError(f"latency: task {task!r} has no shipped study; name the space of its recipes with --space")
    return spec, {**own, **params}


def build_table(
    task: str | None = None,
    *,
    study: str | None = None,
    space: str | None = None,
    params: Mapping[str, Any] | None = None,
    imports: tuple[str, ...] = (),
    recipes: int = RECIPES,
    store: Path | None = None,
    seed: int = 0,
    on_progress: OnProgress = lambda what, done, of: None,
) -> dict[str, Any]:
    """Measure every layer that a space can leave of a task's network, then fit and check whole recipes.

    What was measured before on this machine, for whatever task, is reused; a run that was killed goes on.

    Args:
        task: name of the task, or `study`, a study of it.
        study: path or name of a study.
        space: path or name of a space, where it is not the study's.
        params: of the task.
        imports: modules to import first.
        recipes: held-out recipes that errors are measured on.
        store: folder of finished phases; the table stands in its folder `latency`.
        seed: of the recipes that are drawn.
        on_progress: told what is being done, how many are done, and of how many.

    Returns:
        JSON: `entries` (wanted, measured, reused, noisy, interpolated or not), `correction`, `check` (predicted and
        measured milliseconds of held-out recipes, median and 90th percentile of the relative error), `corners` (dense
        and thinnest network, in floating point and in integers), `seconds`, and the paths.

    Raises:
        InputError: task, study or space are wrong.
    """
    from autoreg.study.options import RunOptions
    from autoreg.study.task_study import TaskStudy

    begun = time.perf_counter()
    spec, given = study_of(task, study, space, params or {})
    made = TaskStudy(spec, RunOptions(Path("."), store=store, imports=imports, params=given))
    setup = made.objective.setup
    threads = setup.options.threads
    fingerprint = device_fingerprint(threads)
    table = LatencyTable.open(setup.latency.folder, fingerprint)
    drawn = list(draw(made.space, setup, DRAWS, seed))
    geometries, profile, batch = timed_network(setup)
    entries = _fill(table, setup, drawn, geometries, threads, on_progress)
    tabled = time.perf_counter()
    fitted, held_out = time_recipes(
        made.space, setup, recipes, seed + 1, lambda done, of: on_progress("recipes", done, of)
    )
    if not held_out:
        raise InputError("latency: the space leaves one architecture alone; there is nothing to hold out")
    unfitted, unchecked = Correction({}, 0.0, 0.0, 0.0, 0.0, 0), HeldOutErrors((), (), 0.0, 0.0)
    blank = LatencyModel(table, unfitted, unchecked, geometries, profile, batch)
    correction = fit([blank.features(one.levels) for one in fitted], [one.latency.ms for one in fitted])
    check, sum_alone = _checked(blank, correction, held_out)
    edges = _corners(LatencyModel(table, correction, check, geometries, profile, batch), setup, drawn)
    about: dict[str, Any] = {"task": setup.task.name, "space": made.space.name, "fitted": len(fitted), "corners": edges}
    about |= {"sum_alone": sum_alone, "levels": [one.levels.to_dict() for one in held_out]}
    path = save_correction(setup.latency.folder, fingerprint, network_digest(setup), correction, check, about)
    return {
        "task": setup.task.name,
        "space": made.space.name,
        "device": fingerprint,
        "entries": entries,
        "fitted": len(fitted),
        "correction": correction.to_dict(),
        "check": check.to_dict(),
        "corners": edges,
        "sum_alone": sum_alone,
        "seconds": {"table": tabled - begun, "recipes": time.perf_counter() - tabled},
        "table": str(table.path),
        "file": str(path),
    }


def _fill(
    table: LatencyTable,
    setup: Any,
    drawn: Sequence[tuple[Mapping[str, Any], Levels]],
    geometries: Mapping[str, Any],
    threads: int,
    on_progress: OnProgress,
) -> dict[str, Any]:
    """Measure what the table lacks; entries are kept as they come."""
    from autoreg.artifacts.onnx.runtime import saturates
    from autoreg.latency.table.bench import measure_layers
    from autoreg.study.reachable_layers import reachable_keys

    wanted, thinned = reachable_keys(setup.profile, geometries, drawn)
    asked = layers_to_measure(wanted)
    missing = [key for key in asked if key not in table or table.entries[key].noisy]
    known = len(asked) - len(missing)
    on_progress("layers", known, len(asked))
    measuring = measure_layers(missing, threads=threads, unsigned=saturates(), lock=setup.lock)
    for done, (key, entry) in enumerate(measuring, 1):
        before = table.entries.get(key)
        if before is None or entry.uncertainty < before.uncertainty:
            table.add(key, entry)
        on_progress("layers", known + done, len(asked))
    return {
        "wanted": len(wanted),
        "measured": len(missing),
        "reused": known,
        "noisy": sum(table.entries[key].noisy for key in asked),
        "interpolated": thinned or len(wanted) > MAX_MEASURED_LAYERS,
    }


def _checked(blank: LatencyModel, correction: Correction, held_out: Sequence[Measured]) -> tuple[HeldOutErrors, float]:
    """The correction on recipes that it was not fitted to, and the median error of the plain sum of their layers.

    Args:
        blank: gives the features of levels.
        correction: fitted to other recipes.
        held_out: at least one.
    """
    features = [blank.features(one.levels) for one in held_out]
    predicted = [correction.predict(found).ms for found in features]
    measured = [one.latency.ms for one in held_out]
    sums = [sum(found[f"{kind}_ms"] for kind in LAYER_KINDS) for found in features]
    noisy = sum(one.latency.noisy for one in held_out)
    check = HeldOutErrors(tuple(predicted), tuple(measured), *error_quantiles(predicted, measured), noisy)
    return check, error_quantiles(sums, measured)[0]


def _corners(
    model: LatencyModel, setup: Any, drawn: Sequence[tuple[Mapping[str, Any], Levels]]
) -> list[dict[str, Any]]:
    """The dense and the thinnest network, predicted and measured in milliseconds."""
    return [
        {
            "name": name,
            "predicted": model.predict(levels).ms,
            "measured": time_artifact(setup, levels, *artifact(setup, levels)).latency.ms,
        }
        for name, levels in corners(model.profile, drawn)
    ]


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
