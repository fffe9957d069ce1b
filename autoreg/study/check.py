"""What a space holds and what searching it would take, before anything trains."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from autoreg.costs.levels import Levels
from autoreg.costs.predict import predict
from autoreg.errors import InputError
from autoreg.latency.table.model import LatencyModel
from autoreg.methods import registry
from autoreg.methods.bound import bind
from autoreg.plan import TEACHER, Phase, compile_plan, total_epochs
from autoreg.space import Expression, Space, StudySpec
from autoreg.space.nodes import describe_range
from autoreg.study.options import RunOptions
from autoreg.study.shipped import load_study_or_space
from autoreg.study.task_study import TaskStudy
from autoreg.tasks.batches import to_device
from autoreg.training_length import rung_epochs
from autoreg.trial.checkpoint_size import copies_of_weights
from autoreg.trial.file_size import FileSizePredictor
from autoreg.trial.loop import forward, steps_in
from autoreg.trial.reference import UntrainedReference
from autoreg.trial.resolve import resolve_network
from autoreg.trial.setup import Setup
from autoreg.trial.summary import cost_metrics

COSTED_RECIPES = 200  # drawn from the space; the printed ranges are theirs
FILE_BYTES = "file_bytes"
TIMED_STEPS = 4  # gradients that the duration of an epoch is estimated from


def check_file(
    file: str,
    *,
    task: str | None = None,
    params: Mapping[str, Any] | None = None,
    imports: tuple[str, ...] = (),
    trials: int = 60,
    store: Path | None = None,
) -> dict[str, Any]:
    """Check a space or a study.

    Args:
        file: path or shipped name of a space or a study.
        task: name of the task to check a space against.
        params: parameters of the task.
        imports: modules that define the user's own methods and tasks.
        trials: trials that time and disk are estimated for, where no study says.
        store: folder of finished phases.

    Returns:
        JSON: `space` (name, size, parameters), and with a task `recipes` (how many were drawn), `costs` (range of each
        over them, and of the dense network; `file_bytes` where the study asks for it, predicted as if the weights were
        those before training), `latency` (the same of predicted milliseconds; None without a table of
        this machine), `constraints` (fraction of recipes that meet each at known cost) and `expect` (seconds of one
        trial and of all, dense trainings that teachers are and their seconds, bytes on disk).

    Raises:
        InputError: the file, the task or a parameter is wrong.
    """
    spec = load_study_or_space(file)
    if isinstance(spec, Space):
        if task is None:
            return {"space": describe(spec.bind(registry()))}
        spec = StudySpec.for_space(spec, task)
    study = TaskStudy(spec, RunOptions(Path("."), store=store, imports=imports, params=params or {}))
    found: dict[str, Any] = {"space": describe(study.space), "notices": list(study.notices)}
    return found | _costs(study, spec.budget.trials or trials)


def describe(space: Space) -> dict[str, Any]:
    """Name, size and parameters of a space."""
    return {
        "name": space.name,
        "digest": space.digest,
        "size": str(space.size()),
        "parameters": [
            {"path": p.path, "domain": list(p.domain) if isinstance(p.domain, tuple) else describe_range(p.domain)}
            for p in space.parameters
        ],
    }


def _costs(study: TaskStudy, trials: int) -> dict[str, Any]:
    setup = study.objective.setup
    reference = UntrainedReference(setup)  # levels of data-dependent allocations are approximate
    dense = cost_metrics(predict(setup.profile))
    rng = np.random.default_rng(study.spec.seed)
    recipes: list[dict[str, Any]] = []
    rows: list[dict[str, float]] = []
    levels_of: list[Levels] = []
    sizes = None if study.objective.file_format is None else FileSizePredictor(reference, study.objective.file_format)
    if sizes is not None:
        dense[FILE_BYTES] = sizes.predict(bind(setup.dense), setup, Levels(), predict(setup.profile)).middle
    while len(rows) < COSTED_RECIPES:  # recipes that this network cannot run are passed over, as the search does
        recipe = study.space.sample(rng)
        with contextlib.suppress(InputError):
            network, levels = resolve_network(recipe, reference)
            predicted = predict(network.profile, levels)
            rows.append(cost_metrics(predicted))
            if sizes is not None:
                rows[-1][FILE_BYTES] = sizes.predict(bind(recipe), network, levels, predicted).middle
            recipes.append(recipe)
            whole = network.on_whole(levels)
            levels_of += [] if whole is None else [whole]
    constraints = [*study.space.constraints, *study.spec.constraints]
    ranges = {
        name: {"low": min(r[name] for r in rows), "median": float(np.median([r[name] for r in rows]))}
        | {"high": max(r[name] for r in rows), "dense": dense[name]}
        for name in dense
    }
    return {
        "recipes": len(rows),
        "costs": ranges,
        "latency": _latency(setup, levels_of),
        "constraints": [_satisfied(c, rows, dense) for c in constraints],
        "expect": _expect(study, recipes, trials),
    }


def _latency(setup: Setup, levels_of: Sequence[Levels]) -> dict[str, float] | None:
    """Range of the predicted milliseconds; None where this machine has no latency table for the network."""
    model = LatencyModel.load(setup, threads=setup.options.threads)
    if model is None:
        return None
    times = []
    for levels in levels_of:
        with contextlib.suppress(InputError):  # layers that the space had not when the table was built
            times.append(model.predict(levels).ms)
    if not times:
        return None
    found = {"low": min(times), "median": float(np.median(times)), "high": max(times)}
    return found | {"dense": model.predict(Levels()).ms, "error": model.check.median, "recipes": len(times)}


def _satisfied(
    constraint: Expression, rows: Sequence[Mapping[str, float]], dense: Mapping[str, float]
) -> dict[str, Any]:
    names = {f"dense.{name}": value for name, value in dense.items()}
    if not all(name in names or name in rows[0] for name in constraint.names):
        return {"constraint": str(constraint), "share": None, "note": "known only after training"}
    met = sum(constraint.violation({**names, **row}) <= 0 for row in rows) / len(rows)
    note = "no recipe of the sample meets it" if met == 0 else ""
    return {"constraint": str(constraint), "share": met, "note": note}


def _expect(study: TaskStudy, recipes: Sequence[Mapping[str, Any]], trials: int) -> dict[str, Any]:
    """Seconds from a few gradients on a throw-away model; bytes from the phases that a trial leaves."""
    setup = study.objective.setup
    task, loader = setup.task, setup.loaders(setup.task.folds[0])["train"]
    model = setup.fresh_model(0).to(setup.device).train()
    times = []
    for index, batch in enumerate(loader):
        if index == TIMED_STEPS:
            break
        begun = time.perf_counter()
        here = to_device(batch, setup.device)
        torch.autograd.backward(task.loss(forward(model, task, here), here))
        times.append(time.perf_counter() - begun)
    epoch = float(np.median(times)) * steps_in(loader)
    epochs, entries, teachers = [], [], list[Phase]()
    for recipe in recipes:
        plan = compile_plan(recipe, setup.registry, dense=setup.dense, pretrained_digest=setup.pretrained_digest)
        own = [phase for phase in plan if phase.name != TEACHER]
        teachers = max(teachers, [phase for phase in plan if phase.name == TEACHER], key=len)
        epochs.append(total_epochs(own))
        entries.append(_entries(own) + (len(rung_epochs(recipe["training"])) if study.objective.rungs else 0))
    folds = len(task.folds)
    trial = epoch * float(np.mean(epochs)) * folds
    taught = epoch * total_epochs(teachers) * folds  # the longest list holds all others
    size = sum(p.numel() * p.element_size() for p in model.parameters())
    return {
        "trials": trials,
        "seconds_per_epoch": epoch,
        "seconds_per_trial": trial,
        "teachers": len(teachers) * folds,
        "seconds_of_teachers": taught,
        "seconds": trial * trials / max(1, study.spec.workers) + taught,
        "disk_bytes": float(np.mean(entries)) * size * trials * folds,
        "note": "an upper bound: shared phases are computed once, bad trials stop early; timing and scoring are extra",
    }


def _entries(phases: Sequence[Phase]) -> float:
    """How many times the weights of the network phases leave in the store: each a network, and trainings midway."""
    midway = [copies_of_weights(phase.settings, list(phase.trunk)) for phase in phases if phase.trunk]
    return len(phases) - 1 + sum(map(sum, midway))  # the last one only measures
