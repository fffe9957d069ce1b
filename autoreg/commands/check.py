"""`autoreg check`: what a space holds and what searching it would take, before anything trains."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from autoreg.errors import InputError
from autoreg.methods import registry
from autoreg.space import Expression, Space
from autoreg.space.study_spec import StudySpec

SAMPLES = 200
STEPS = 4


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
        trials: trials that time and disk are reckoned for, where no study says.
        store: folder of finished phases.

    Returns:
        JSON: `space` (name, size, parameters), and with a task `costs` (range of each over random recipes and of
        the dense network), `latency` (the same of predicted milliseconds; None without a table of this machine),
        `constraints` (share of recipes that meet each at known cost) and `expect` (seconds of one trial and of all,
        bytes on disk).

    Raises:
        InputError: the file, the task or a parameter is wrong.
    """
    study, space = _read(file)
    if study is None and task is None:
        bound = space.bind(registry())
        return {"space": describe(bound)}
    from autoreg.study.options import RunOptions
    from autoreg.study.task_study import TaskStudy

    if study is None:
        assert task is not None
        study = StudySpec.for_space(space, task)
    made = TaskStudy(study, RunOptions(Path("."), store=store, imports=imports, params=params or {}))
    found: dict[str, Any] = {"space": describe(made.space), "notices": list(made.notices)}
    return found | _costs(made, study.budget.trials or trials)


def _read(file: str) -> tuple[StudySpec | None, Space]:
    from autoreg.study.shipped import find, shipped

    path = Path(file)
    if not path.exists():
        if path.suffix in (".yaml", ".yml"):
            raise InputError(f"{file}: no such file")
        stem = file.removesuffix(".yaml")
        path = shipped("study").get(stem) or find("space", file)
    if StudySpec.is_study(path):
        spec = StudySpec.load(path, resolve_shipped=lambda name: find("space", name))
        return spec, spec.space
    return None, Space.load(path)


def describe(space: Space) -> dict[str, Any]:
    """Name, size and parameters of a space."""
    return {
        "name": space.name,
        "digest": space.digest,
        "size": str(space.size()),
        "parameters": [
            {"path": p.path, "domain": list(p.domain) if isinstance(p.domain, tuple) else repr_range(p.domain)}
            for p in space.parameters
        ],
    }


def repr_range(domain: Any) -> str:
    """A range as the YAML writes it."""
    step = "" if domain.step is None else f", step: {domain.step:g}"
    return f"{domain.kind}: [{domain.low:g}, {domain.high:g}]{step}"


def _costs(made: Any, trials: int) -> dict[str, Any]:
    from autoreg.costs.predict import predict
    from autoreg.trial.objective import cost_metrics
    from autoreg.trial.reference import Untrained
    from autoreg.trial.resolve import resolve

    setup = made.objective.setup
    reference = Untrained(setup)  # levels of looking allocations are near
    dense = cost_metrics(predict(setup.profile))
    rng = np.random.default_rng(made.spec.seed)
    recipes: list[dict[str, Any]] = []
    rows: list[dict[str, float]] = []
    levels_of: list[Any] = []
    while len(rows) < SAMPLES:  # recipes that this network cannot carry out are passed over, as the search does
        recipe = made.space.sample(rng)
        with contextlib.suppress(InputError):
            levels = resolve(recipe, setup, reference)
            rows.append(cost_metrics(predict(setup.profile, levels)))
            recipes.append(recipe)
            levels_of.append(levels)
    constraints = [*made.space.constraints, *made.spec.constraints]
    ranges = {
        name: {"low": min(r[name] for r in rows), "median": float(np.median([r[name] for r in rows]))}
        | {"high": max(r[name] for r in rows), "dense": dense[name]}
        for name in dense
    }
    return {
        "costs": ranges,
        "latency": _latency(setup, levels_of),
        "constraints": [_satisfied(c, rows, dense) for c in constraints],
        "expect": _expect(made, recipes, trials),
    }


def _latency(setup: Any, levels_of: Sequence[Any]) -> dict[str, float] | None:
    """Range of the predicted milliseconds; None where this machine has no latency table for the network."""
    from autoreg.costs.levels import Levels
    from autoreg.latency.table.model import LatencyModel

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


def _expect(made: Any, recipes: Sequence[Mapping[str, Any]], trials: int) -> dict[str, Any]:
    """Seconds from a few gradients on a throw-away model; bytes from the phases that a trial leaves."""
    from autoreg.plan import compile_plan, rung_epochs, total_epochs
    from autoreg.tasks.batches import to_device
    from autoreg.trial.loop import forward, steps_in

    setup = made.objective.setup
    task, loader = setup.task, setup.loaders(setup.task.folds[0])["train"]
    model = setup.fresh_model(0).to(setup.device).train()
    times = []
    for index, batch in enumerate(loader):
        if index == STEPS:
            break
        begun = time.perf_counter()
        here = to_device(batch, setup.device)
        task.loss(forward(model, task, here), here).backward()
        times.append(time.perf_counter() - begun)
    epoch = float(np.median(times)) * steps_in(loader)
    asked, phases = [], []
    for recipe in recipes:
        plan = compile_plan(recipe, setup.registry, base="", seed=0, fold="", dense=setup.dense)
        asked.append(total_epochs(plan))
        phases.append(len(plan) - 1 + len(rung_epochs(int(recipe["training"]["epochs"]))))
    folds = len(task.folds)
    trial = epoch * float(np.mean(asked)) * folds
    size = sum(p.numel() * p.element_size() for p in model.parameters())
    return {
        "trials": trials,
        "seconds_per_epoch": epoch,
        "seconds_per_trial": trial,
        "seconds": trial * trials / max(1, made.spec.workers),
        "disk_bytes": float(np.mean(phases)) * size * trials * folds,
        "note": "an upper bound: shared phases are paid once, bad trials stop early; timing and scoring are extra",
    }


def format_check(found: Mapping[str, Any]) -> str:
    """What `check_file` found, for people."""
    space = found["space"]
    lines = [f"{space['name'] or 'space'}: {space['size']}", f"{len(space['parameters'])} parameters:"]
    for parameter in space["parameters"]:
        domain = parameter["domain"]
        lines.append(f"  {parameter['path']}: {domain if isinstance(domain, str) else ' | '.join(domain)}")
    lines += [f"note: {notice}" for notice in found.get("notices", ())]
    if "costs" in found:
        lines.append(f"costs of {SAMPLES} random recipes (lowest, median, highest; dense):")
        for name, row in found["costs"].items():
            lines.append(
                f"  {name:16} {row['low']:>14,.0f} {row['median']:>14,.0f} {row['high']:>14,.0f}; {row['dense']:,.0f}"
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
        lines.append(
            f"expect at most {expect['seconds_per_trial']:.2g} s of training a trial, {expect['seconds'] / 60:.2g} "
            f"minutes and {expect['disk_bytes'] / 1e6:.0f} MB for {expect['trials']} trials ({expect['note']})"
        )
    return "\n".join(lines)
