"""A machine's table of layer times for a space, and how well it predicts the latency of whole recipes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from autoreg.artifacts.onnx.runtime import saturates
from autoreg.costs.levels import Levels
from autoreg.errors import InputError
from autoreg.latency.calibration import Correction, error_quantiles, fit
from autoreg.latency.table.bench import measure_layers
from autoreg.latency.table.grid import MAX_MEASURED_LAYERS, layers_to_measure
from autoreg.latency.table.layer_key import LAYER_KINDS
from autoreg.latency.table.model import HeldOutErrors, LatencyModel, network_digest, save_correction, timed_network
from autoreg.latency.table.table import LatencyTable
from autoreg.latency.timing import device_fingerprint
from autoreg.space import StudySpec
from autoreg.study.options import RunOptions
from autoreg.study.reachable_layers import reachable_keys
from autoreg.study.shipped import load_space, load_study, shipped
from autoreg.study.task_study import TaskStudy
from autoreg.study.timed_recipes import Measured, artifact, corners, draw, time_artifact, time_recipes

DRAWN_RECIPES = 400  # they show which kinds of layers a space can leave
HELD_OUT_RECIPES = 50  # that errors are measured on

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
    if (task is None) == (study is None):
        raise InputError("latency: say either --task or --study, whose recipes are timed")
    spec = load_study(study) if study is not None else None
    if task is not None:
        known = [load_study(name) for name in shipped("study")]
        spec = next((one for one in known if one.task == task), None)
    own = spec.task_params if spec is not None else {}
    if space is not None:
        spec = StudySpec.for_space(load_space(space), task or (spec.task if spec is not None else ""))
    if spec is None:
        raise InputError(f"latency: task {task!r} has no shipped study; name the space of its recipes with --space")
    return spec, {**own, **params}


def build_table(
    spec: StudySpec,
    params: Mapping[str, Any],
    *,
    imports: tuple[str, ...] = (),
    recipes: int = HELD_OUT_RECIPES,
    store: Path | None = None,
    seed: int = 0,
    on_progress: OnProgress = lambda what, done, of: None,
) -> dict[str, Any]:
    """Measure every layer that a space can leave of a task's network, then fit and check whole recipes.

    What was measured before on this machine, for whatever task, is reused; a run that was killed goes on.

    Args:
        spec: the study whose recipes are timed.
        params: of its task.
        imports: modules to import first.
        recipes: held-out recipes that errors are measured on.
        store: folder of finished phases; the table stands in its folder `latency`.
        seed: of the recipes that are drawn.
        on_progress: called with what is being done, how many are done, and of how many.

    Returns:
        JSON: `entries` (wanted, measured, reused, noisy, interpolated or not), `correction`, `check` (predicted and
        measured milliseconds of held-out recipes, median and 90th percentile of the relative error), `corners` (dense
        and thinnest network, in floating point and in integers), `seconds`, and the paths.

    Raises:
        InputError: task, study or space are wrong.
    """
    begun = time.perf_counter()
    subject = TaskStudy(spec, RunOptions(Path("."), store=store, imports=imports, params=params))
    setup = subject.objective.setup
    fingerprint = device_fingerprint(setup.options.threads)
    table = LatencyTable.open(setup.latency.folder, fingerprint)
    drawn = list(draw(subject.space, setup, DRAWN_RECIPES, seed))
    entries = _fill(table, setup, drawn, timed_network(setup)[0], setup.options.threads, on_progress)
    tabled = time.perf_counter()
    timed = time_recipes(subject.space, setup, recipes, seed + 1, lambda done, of: on_progress("recipes", done, of))
    calibrated = _calibrated(subject, table, drawn, *timed)
    return {
        **calibrated,
        "device": fingerprint,
        "entries": entries,
        "seconds": {"table": tabled - begun, "recipes": time.perf_counter() - tabled},
        "table": str(table.path),
    }


def _calibrated(
    subject: TaskStudy,
    table: LatencyTable,
    drawn: Sequence[tuple[Mapping[str, Any], Levels]],
    fitted: Sequence[Measured],
    held_out: Sequence[Measured],
) -> dict[str, Any]:
    """Fit what whole networks take beside their layers, check it on held-out recipes, and store it; what was found."""
    if not held_out:
        raise InputError("latency: the space leaves one architecture alone; there is nothing to hold out")
    setup = subject.objective.setup
    network = timed_network(setup)
    model, sum_alone = _fitted(table, network, fitted, held_out)
    about = {
        "task": setup.task.name,
        "space": subject.space.name,
        "fitted": len(fitted),
        "corners": _corners(model, setup, drawn),
        "sum_alone": sum_alone,
    }
    stored = {**about, "levels": [one.levels.to_dict() for one in held_out]}
    fingerprint = device_fingerprint(setup.options.threads)
    path = save_correction(
        setup.latency.folder, fingerprint, network_digest(setup), model.correction, model.check, stored
    )
    return {**about, "correction": model.correction.to_dict(), "check": model.check.to_dict(), "file": str(path)}


def _fitted(
    table: LatencyTable, network: tuple[Any, Any, int], fitted: Sequence[Measured], held_out: Sequence[Measured]
) -> tuple[LatencyModel, float]:
    """The table's model with a correction fitted to some recipes and checked on others; and the sum of layers alone."""
    unfitted, unchecked = Correction({}, 0.0, 0.0, 0.0, 0.0, 0), HeldOutErrors((), (), 0.0, 0.0)
    blank = LatencyModel(table, unfitted, unchecked, *network)
    correction = fit([blank.features(one.levels) for one in fitted], [one.latency.ms for one in fitted])
    check, sum_alone = _checked(blank, correction, held_out)
    return LatencyModel(table, correction, check, *network), sum_alone


def _fill(
    table: LatencyTable,
    setup: Any,
    drawn: Sequence[tuple[Mapping[str, Any], Levels]],
    geometries: Mapping[str, Any],
    threads: int,
    on_progress: OnProgress,
) -> dict[str, Any]:
    """Measure what the table lacks; entries are stored as they come."""
    wanted, thinned = reachable_keys(setup.profile, geometries, drawn)
    selected = layers_to_measure(wanted)
    missing = [key for key in selected if key not in table or table.entries[key].noisy]
    known = len(selected) - len(missing)
    on_progress("layers", known, len(selected))
    measuring = measure_layers(missing, threads=threads, unsigned=saturates(), lock=setup.lock)
    for done, (key, entry) in enumerate(measuring, 1):
        before = table.entries.get(key)
        if before is None or entry.uncertainty < before.uncertainty:
            table.add(key, entry)
        on_progress("layers", known + done, len(selected))
    return {
        "wanted": len(wanted),
        "measured": len(missing),
        "reused": known,
        "noisy": sum(table.entries[key].noisy for key in selected),
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
