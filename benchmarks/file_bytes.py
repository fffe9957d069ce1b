"""Sizes of files predicted before training against those measured after it, and what weight decay and L1 save.

    python -m benchmarks.file_bytes [STUDY ...] [--recipes 50] [--format safetensors] [--out FILE]

For each study recipes are drawn at random from its space, with trainings of a few epochs. Each is predicted by the
engine as it is when it asks for it, so that the trials before it may have corrected the prediction; `first` is what was
predicted without them. `within` counts the measured sizes that lie in the 90 % interval. Then one recipe is trained at
two strengths of weight decay and of L1, all else equal.
"""

from __future__ import annotations

import argparse
import copy
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from autoreg.engine.engine import Engine
from autoreg.engine.log.events import EventLog
from autoreg.engine.log.trial import Trial
from autoreg.engine.settings import Strategy
from autoreg.execution import run
from autoreg.files import write_whole
from autoreg.space import Budget, Space
from autoreg.study.options import RunOptions
from autoreg.study.shipped import load_study
from autoreg.study.task_study import TaskStudy
from autoreg.trial.file_size import measured_size

COLUMNS = (
    *("study", "recipes", "bytes", "median error", "90th percentile", "median, first"),
    *("within 90 %", "predicting", "measuring"),
)
SHORT = {"epochs": 4, "finetune_epochs": 2, "qat_epochs": 1}
STRENGTHS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "weight decay": ({"training": {"weight_decay": 1e-5}}, {"training": {"weight_decay": 3e-2}}),
    "L1": ({"regularizer": {"l1": {"strength": 0.1}}}, {"regularizer": {"l1": {"strength": 30.0}}}),
}
STUDIES: dict[str, dict[str, Any]] = {"digits": {}, "tabular": {"data": "wine"}}
"""Studies that run by default, and parameters of their tasks."""


def short_study(name: str, folder: Path, format: str, params: Mapping[str, Any]) -> TaskStudy:
    """A study with short trainings and the size of files as its cost."""
    spec = load_study(name)
    space = copy.deepcopy(spec.space.to_dict())
    space.setdefault("training", {}).update(SHORT)
    changed = replace(
        spec,
        space=Space.from_dict(space, spec.space.name),
        objectives={next(iter(spec.objectives)): "min", "file_bytes": "min"},
        constraints=(),
        format=format,
        compress=format == "safetensors",
    )
    return TaskStudy(changed, RunOptions(folder / "run", store=folder / "store", params=params))


def predicted_and_measured(study: TaskStudy, recipes: int, folder: Path) -> dict[str, float]:
    """Errors of predictions over random recipes, relative, and milliseconds of predicting and measuring."""
    strategy = Strategy(sampler="random", prune=False, screen=False, known_cost_filter=False, reevaluate=False)
    with EventLog(folder / "events.jsonl") as log:
        engine: Engine = study.engine(log, strategy=strategy, budget=Budget(trials=recipes))
        run(engine, study.objective, executor="local", workers=1)
        records = [record for record in engine.trials() if record.state == "COMPLETE"]
    sizes = np.array([record.metrics["file_bytes"] for record in records])
    ends = np.array([record.intervals["file_bytes"] for record in records])
    first = np.array([study.objective.costs_and_intervals(r.config)[1]["file_bytes"].ends[1] for r in records])
    errors = np.abs(ends[:, 1] / sizes - 1)
    return {
        "recipes": len(records),
        "median": float(np.median(errors)),
        "p90": float(np.quantile(errors, 0.9)),
        "first": float(np.median(np.abs(first / sizes - 1))),
        "within": float(np.mean((ends[:, 0] <= sizes) & (sizes <= ends[:, 2]))),
        "least": float(sizes.min()),
        "most": float(sizes.max()),
        **_milliseconds(study, [record.config for record in records]),
    }


def _milliseconds(study: TaskStudy, configs: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Processor time of predicting a recipe's size, beside its other costs, and of measuring it."""
    objective, format = study.objective, study.objective.file_format
    assert format is not None
    took = []
    for asked in (format, None):
        objective.file_format = asked
        begun = time.process_time()
        for config in configs:
            objective.costs_and_intervals(config)
        took.append(1000 * (time.process_time() - begun) / len(configs))
    objective.file_format = format
    chain = objective.chain(_coded(study, {}), seed=0, fold=objective.setup.task.folds[0])
    result, measured = chain.run(), []
    for _ in range(5):  # the first imports
        begun = time.process_time()
        measured_size(chain.setup, result.state, result.model, format)
        measured.append(1000 * (time.process_time() - begun))
    return {"predict_ms": took[0] - took[1], "measure_ms": float(np.median(measured))}


def _coded(study: TaskStudy, change: Mapping[str, Any]) -> dict[str, Any]:
    """The task's own training with weights of 4 bits, one scale a tensor, and a change."""
    recipe = copy.deepcopy(study.objective.setup.dense)
    recipe["quantization"]["weights"] |= {"bits": 4, "granularity": "tensor"}
    for section, value in change.items():
        recipe[section] = {**recipe[section], **value} if section == "training" else value
    return study.objective.setup.complete(recipe)


def saved(study: TaskStudy) -> dict[str, tuple[dict[str, float], dict[str, float]]]:
    """Metrics of one recipe at two strengths of each regularizer."""
    found = {}
    for name, changes in STRENGTHS.items():
        weak, strong = (study.objective(_coded(study, change), Trial(seed=0)) for change in changes)
        found[name] = weak, strong
    return found


def page(rows: Mapping[str, Mapping[str, float]], strengths: Mapping[str, Any], quality: str, format: str) -> str:
    """The table, as Markdown."""
    lines = [
        f"Sizes of files, format `{format}`, random recipes with trainings of {SHORT['epochs']} epochs.",
        "",
        f"| {' | '.join(COLUMNS)} |",
        f"|{'---|' * len(COLUMNS)}",
    ]
    for name, row in rows.items():
        cells = [f"{row['recipes']:.0f}", f"{row['least']:,.0f} to {row['most']:,.0f}"]
        cells += [f"{100 * row[key]:.2f} %" for key in ("median", "p90", "first")]
        cells += [f"{row['within']:.0%}", f"{row['predict_ms']:.1f} ms", f"{row['measure_ms']:.1f} ms"]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    if strengths:
        lines += ["", "The task's own training on digits, weights of 4 bits, one scale a tensor, at two strengths:", ""]
        lines += ["| regularizer | weak: bytes of the file (payload), error | strong |", "|---|---|---|"]
        for name, ends in strengths.items():
            cells = [f"{m['file_bytes']:,.0f} ({m['bytes']:,.0f}), {m[quality]:.3f}" for m in ends]
            lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("studies", nargs="*", default=list(STUDIES), help="names or files of studies")
    parser.add_argument("--recipes", type=int, default=50)
    parser.add_argument("--format", default="safetensors", choices=("safetensors", "onnx", "torch"))
    parser.add_argument("--out", type=Path, default=None, help="file for the table")
    given = parser.parse_args(arguments)
    rows: dict[str, dict[str, float]] = {}
    strengths: dict[str, Any] = {}
    quality = "error"
    for name in given.studies:
        with tempfile.TemporaryDirectory() as scratch:
            study = short_study(name, Path(scratch), given.format, STUDIES.get(name, {}))
            rows[name] = predicted_and_measured(study, given.recipes, Path(scratch))
            if name == "digits":
                strengths, quality = saved(study), study.quality
        print(page(rows, strengths, quality, given.format), flush=True)
    if given.out is not None:
        write_whole(given.out, page(rows, strengths, quality, given.format).encode())


if __name__ == "__main__":
    main()
