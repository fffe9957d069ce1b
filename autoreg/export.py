"""`autoreg export`: the model of a trial as a file, run and compared with what the trial recorded."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from autoreg.artifacts.deployable import Deployable, deployable
from autoreg.artifacts.export import FORMATS, Artifact, write
from autoreg.artifacts.onnx_int8 import runs_in_words
from autoreg.artifacts.verify import Agreement, MismatchError, compare, record
from autoreg.costs.timing import Backend, Latency, time_model
from autoreg.errors import InputError, NoTrialError
from autoreg.report.load import StudyData
from autoreg.study import write_json
from autoreg.trial.chain import Chain
from autoreg.trial.loading import chain_of, objective_of
from autoreg.trial.loop import evaluate
from autoreg.trial.objective import TaskObjective


@dataclass(frozen=True)
class Exported:
    """A file of a trial's model, and how it compares with the trial.

    Attributes:
        artifact: the file.
        agreement: of its outputs with those that the trial recorded.
        metrics: of the file on the validation split.
        recorded: metrics of the trial's model on the same split.
        latency: of the file in ONNX Runtime, or of what was loaded from it in torch.
        notes: remarks for the reader.
    """

    artifact: Artifact
    agreement: Agreement
    metrics: Mapping[str, float]
    recorded: Mapping[str, float]
    latency: Latency | None
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "file": self.artifact.path.name,
            "format": self.artifact.format,
            "file_bytes": self.artifact.file_bytes,
            "runs": dict(self.artifact.runs),
            "agreement": self.agreement.to_dict(),
            "metrics": dict(self.metrics),
            "recorded": dict(self.recorded),
            "latency": None if self.latency is None else self.latency.to_dict(),
            "notes": [*self.artifact.notes, *self.notes],
        }


def export_trials(
    folder: Path,
    numbers: Sequence[int],
    format: str,
    *,
    out: Path | None = None,
    compress: bool = False,
    on_done: Callable[[str], None] | None = None,
) -> dict[int, Exported]:
    """Write the models of trials of a study, run each file and compare it with its trial.

    Beside each file stands a JSON file of the same name that holds the comparison; it is written also where it fails.

    Args:
        folder: the study's folder.
        numbers: of the trials; empty for the whole front.
        format: `onnx`, `torch` or `safetensors`.
        out: where the files go; `exports` in the study's folder unless told.
        compress: entropy coding of integer weights, for `safetensors`.
        on_done: called with a line about each trial that is done.

    Raises:
        InputError: the study has no task, or the format does not exist.
        NoTrialError: there is no such trial, or it is not complete.
        MismatchError: a file does not compute what its trial recorded; the file is gone then.
    """
    if format not in FORMATS:
        raise InputError(f"--format {format}: allowed are {', '.join(FORMATS)}")
    if compress and format != "safetensors":
        raise InputError(f"--compress: entropy coding is for --format safetensors, not {format}")
    data = StudyData.load(folder)
    records = data.state.records
    wanted = list(numbers) or [int(number) for number in data.front["number"]]
    if not wanted:
        raise NoTrialError(f"{folder}: no trial is complete and feasible, so there is no front to export")
    for number in wanted:
        if not 0 <= number < len(records):
            raise NoTrialError(f"{folder}: has no trial {number}; it has {len(records)}, counted from 0")
        if records[number].state != "COMPLETE":
            raise NoTrialError(
                f"{folder}: trial {number} is {records[number].state}; only complete trials have a model"
            )
    objective, seed = objective_of(folder)
    target = out or folder / "exports"
    found: dict[int, Exported] = {}
    for number in wanted:
        path = target / f"trial-{number}{FORMATS[format]}"
        found[number] = export_recipe(objective, records[number].config, seed, path, format, compress=compress)
        if on_done is not None:
            on_done(format_exported(number, found[number], objective.setup.task.quality))
    return found


def export_recipe(
    objective: TaskObjective,
    config: Mapping[str, Any],
    seed: int,
    path: Path,
    format: str,
    *,
    compress: bool = False,
    timed: bool = True,
) -> Exported:
    """Write the model of a recipe, as a search with this seed scored it on the first fold, and compare the file.

    Raises:
        InputError: the task's outputs hold no logits to compare.
        MismatchError: the file does not compute what was recorded; the file is gone then.
    """
    setup = objective.setup
    chain = chain_of(objective, config, seed)
    recorded = chain.recorded()
    outcome = chain.run()
    notes: tuple[str, ...] = ()
    if recorded is None:
        recorded, notes = outcome.outputs, ("the trial's outputs were not in the store: it was carried out again",)
    if recorded is None:
        raise InputError(f"task {setup.task.name!r}: its outputs hold no logits, so that no file can be compared")
    found = deployable(outcome.model)
    structure = {
        "dropped": list(outcome.carried.dropped),
        "removed": {group: list(gone) for group, gone in outcome.carried.removed.items()},
        "ranks": dict(outcome.carried.ranks),
    }
    artifact, module = write(
        found,
        setup.example_input,
        path,
        format,
        record=structure,
        compress=compress,
        build=lambda: setup.fresh_model(0),
    )
    try:
        agreement, metrics = _check(setup, chain, module, recorded)
        fault = agreement.fault(integers=_rounds(found))
    except MismatchError as error:
        path.unlink()
        raise MismatchError(f"{path.name}: {error}; the file was removed") from error
    latency = None
    if timed:
        runtime: Backend = "onnxruntime" if format == "onnx" else "torch"
        with setup.lock.exclusive():
            latency = time_model(
                path if format == "onnx" else module.eval(), setup.task.latency_input(), backend=runtime
            )
    exported = Exported(artifact, agreement, metrics, dict(outcome.metrics), latency, notes)
    details = {"time": time.strftime("%Y-%m-%dT%H:%M:%S"), "seed": seed, "recipe": dict(config), "fault": fault}
    write_json(path.with_name(f"{path.name}.json"), {**exported.to_dict(), **details})
    if fault is not None:
        path.unlink()
        raise MismatchError(f"{path.name}: does not compute what the trial recorded: {fault}; the file was removed")
    return exported


def _rounds(found: Deployable) -> bool:
    return any(code.input is not None or code.output is not None for code in found.codes.values())


def _check(
    setup: Any, chain: Chain, module: torch.nn.Module, recorded: torch.Tensor
) -> tuple[Agreement, dict[str, float]]:
    """Run a file on the validation split: how its first outputs agree with the recorded ones, and its metrics."""
    outputs: list[Any] = []
    with setup.lock.shared():
        metrics = evaluate(module, setup.task, chain.loaders["validation"], torch.device("cpu"), outputs)
    return compare(recorded, record(outputs, recorded.numel())), metrics


def format_exported(number: int, found: Exported, quality: str) -> str:
    """One trial's export in one line."""
    agreement, artifact = found.agreement, found.artifact
    same = "" if agreement.top1 is None else f"same answer in {agreement.top1:.1%} of {agreement.samples} samples, "
    parts = [
        f"trial {number}: {artifact.path} ({artifact.file_bytes:,} bytes)",
        f"{same}largest difference {agreement.max_difference:.2g} of {agreement.scale:.2g}",
        f"{quality} {found.metrics[quality]:.4f} (recorded {found.recorded[quality]:.4f})",
    ]
    if artifact.runs:
        parts.append(runs_in_words(artifact.runs))
    if found.latency is not None:
        spread = f"{found.latency.low:.3f} to {found.latency.high:.3f}"
        times = f"{found.latency.ms:.3f} ms for {found.latency.batch} samples (95 % {spread})"
        parts.append(f"{times} in {found.latency.runtime}")
    return "; ".join([*parts, *found.artifact.notes, *found.notes])


def exports_of(folder: Path) -> dict[int, list[dict[str, Any]]]:
    """What was exported from a study, by trial number: the records beside the files."""
    found: dict[int, list[dict[str, Any]]] = {}
    for path in sorted((folder / "exports").glob("trial-*.json")):
        number = path.name.removeprefix("trial-").partition(".")[0]
        if number.isdigit():
            found.setdefault(int(number), []).append(json.loads(path.read_text(encoding="utf-8")))
    return found
