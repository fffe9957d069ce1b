"""`autoreg export`: the model of a trial as a file, run and compared with what the trial recorded."""

from __future__ import annotations

import math
import os
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from autoreg.artifacts.deployable import Deployable, deployable
from autoreg.artifacts.export import EXPORT_FORMATS, Artifact, write
from autoreg.artifacts.onnx.runtime import runs_in_words
from autoreg.artifacts.verify import Agreement, MismatchError, compare, quality_fault, record
from autoreg.engine.log.records import Record
from autoreg.errors import InputError, NoTrialError
from autoreg.latency.backends import Backend, time_model
from autoreg.report.data.front import front_rows
from autoreg.report.data.load import StudyData
from autoreg.study.export_format import export_format
from autoreg.study.export_report import ExportReport
from autoreg.tasks import Task
from autoreg.tasks.batches import batch_size_of, logits_of
from autoreg.trial.chain import Chain, ChainResult
from autoreg.trial.file_size import file_record
from autoreg.trial.loading import chain_of, objective_of
from autoreg.trial.loop import evaluate
from autoreg.trial.objective import TaskObjective
from autoreg.trial_info import Latency

RERUN_TOLERANCE = 1e-6  # relative; a model that is trained again is the same one, or it is not


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
    format: str | None,
    *,
    baselines: Sequence[str] = (),
    out: Path | None = None,
    compress: bool = False,
    on_done: Callable[[str], None] | None = None,
) -> dict[str, Exported]:
    """Write models of a study, run each file and compare it with its trial.

    Beside each file stands a JSON file of the same name that holds the comparison; it is written also where it fails,
    and `exports` in the study's folder holds one of every export, wherever its file went. A file takes its place only
    when it computes what the trial computed; until then one of an earlier export stays there.

    Args:
        folder: the study's folder.
        numbers: of the trials; the whole front where neither these nor baselines are given.
        format: `onnx`, `torch` or `safetensors`; None for what `file_bytes` is the size of in the study, else `onnx`.
        baselines: names of baselines of the final evaluation.
        out: where the files go; by default `exports` in the study's folder.
        compress: entropy coding of integer weights, for `safetensors`.
        on_done: called with a line about each model that is done.

    Returns:
        By name: `trial 7`, or that of a baseline.

    Raises:
        InputError: the study has no task, or the format does not exist.
        NoTrialError: there is no such trial or baseline, or the trial is not complete.
        MismatchError: a file does not compute what its trial recorded, or the trial run again has another
            quality than its log says; there is no new file then.
        AutoregError: the network cannot be written in this format.
    """
    chosen = export_format(folder, format, compress)
    data = StudyData.load(folder)
    wanted = {**_complete_trials(data, numbers), **_baselines(data, baselines)} or _front(data)
    objective, seed = objective_of(folder)
    target = out or folder / "exports"
    found: dict[str, Exported] = {}
    for name, (config, trial) in wanted.items():
        path = target / f"{file_stem(name)}{EXPORT_FORMATS[chosen.name]}"
        own = folder / "exports"
        found[name] = export_recipe(
            objective,
            config,
            seed,
            path,
            chosen.name,
            compress=chosen.compress,
            logged=None if trial is None else logged_quality(trial, objective.setup.task),
            copy_to=None if _same(target, own) else own,
        )
        if on_done is not None:
            on_done(format_exported(name, found[name], objective.setup.task.quality))
    return found


Wanted = dict[str, tuple[Mapping[str, Any], Record | None]]
"""By name a recipe, and the trial that it is compared with where there is one."""


def _front(data: StudyData) -> Wanted:
    rows = front_rows(data)
    if not rows:
        raise NoTrialError(f"{data.folder}: no trial is complete and feasible, so there is no front to export")
    records = data.state.records
    return {row.name: (row.recipe, None if row.trial is None else records[row.trial]) for row in rows}


def _baselines(data: StudyData, names: Sequence[str]) -> Wanted:
    known = {one.name: one for one in data.final.baselines if one.config}
    for name in names:
        if name not in known:
            found = ", ".join(known) or "no baselines"
            raise NoTrialError(f"{data.folder}: no baseline {name!r}; the final evaluation has {found}")
    return {name: (known[name].config or {}, None) for name in names}


def _complete_trials(data: StudyData, numbers: Sequence[int]) -> Wanted:
    """The records of trials by name; refused unless complete."""
    folder, records = data.folder, data.state.records
    for number in numbers:
        if not 0 <= number < len(records):
            raise NoTrialError(f"{folder}: has no trial {number}; it has {len(records)}, counted from 0")
        if records[number].state != "COMPLETE":
            raise NoTrialError(
                f"{folder}: trial {number} is {records[number].state}; only complete trials have a model"
            )
    return {f"trial {number}": (records[number].config, records[number]) for number in numbers}


def file_stem(name: str) -> str:
    """The name of a member or baseline as that of a file: `trial 7` is `trial-7`."""
    return "-".join("".join(c if c.isalnum() or c in "._" else " " for c in name).split())


def export_recipe(  # many arguments: what an export is compared with differs between a trial and a recipe
    objective: TaskObjective,
    config: Mapping[str, Any],
    seed: int,
    path: Path,
    format: str,
    *,
    compress: bool = False,
    timed: bool = True,
    logged: float | None = None,
    copy_to: Path | None = None,
) -> Exported:
    """Write the model of a recipe, as a search with this seed scored it on the first fold, and compare the file.

    Args:
        objective: of the task.
        config: a complete recipe.
        seed: of the search.
        path: where the file goes; it appears there when it has passed.
        format: a key of `EXPORT_FORMATS`.
        compress: entropy coding of integer weights, for `safetensors`.
        timed: whether the file is timed.
        logged: what a trial's log says of its quality on the first fold, where there is such a trial.
        copy_to: a folder that gets the JSON file too.

    Raises:
        InputError: the task's outputs hold no logits to compare.
        MismatchError: the model is not the one of the log, or the file does not compute what was recorded; what was at
            `path` before is still there, and the JSON file says what is wrong.
        AutoregError: the network cannot be written in this format, or its file cannot be run.
        OSError: the disk is full or the folder cannot be written.
    """
    beside = path.with_name(f".{uuid.uuid4().hex}{path.suffix}")
    report = ExportReport(path, copy_to, {"seed": seed, "recipe": dict(config)})
    try:
        chain = chain_of(objective, config, seed)
        exported = _Export(chain, path, format, compress, logged, report).run(beside, timed=timed)
        os.replace(beside, path)
        report.write(None)
    except Exception as error:  # whatever it was, no JSON file of an earlier export may speak for this one
        report.write_fault(error)
        raise
    finally:
        beside.unlink(missing_ok=True)
    return exported


def logged_quality(record: Record, task: Task) -> float | None:
    """What a trial's log says of its quality on the first fold; None where it does not say.

    With several folds the trial's metrics are their mean, and `info.fold_quality` holds each.
    """
    value = record.info.fold_quality.get(task.folds[0]) if len(task.folds) > 1 else record.metrics.get(task.quality)
    return None if value is None else float(value)


def _same(one: Path, other: Path) -> bool:
    return one.resolve() == other.resolve()


@dataclass(frozen=True)
class _Export:
    """One export under way; tells `report` how the file compares.

    Attributes: as the arguments of `export_recipe`.
    """

    chain: Chain
    path: Path
    format: str
    compress: bool
    logged: float | None
    report: ExportReport

    def run(self, beside: Path, *, timed: bool) -> Exported:
        """Write a file under another name, run it, compare it, and time it."""
        setup = self.chain.setup
        result, recorded, notes = self._recomputed()
        found = deployable(result.model)
        artifact, module = self._written(result, found, beside)
        try:
            agreement, metrics, answers = _check(setup, self.chain, module, recorded)
        except MismatchError as error:
            raise MismatchError(f"{self.path.name}: {error}; the file was discarded") from error
        exported = Exported(artifact, agreement, metrics, dict(result.metrics), None, notes)
        self.report.content |= exported.to_dict()
        task, quality = setup.task, setup.task.quality
        fault = agreement.fault(integers=_rounds(found)) or quality_fault(
            result.metrics[quality], metrics[quality], _chance(task), answers=answers if quality == "error" else None
        )
        if fault is not None:
            raise MismatchError(
                f"{self.path.name}: does not compute what the trial recorded: {fault}; the file was discarded"
            )
        if timed:
            runtime: Backend = "onnxruntime" if self.format == "onnx" else "torch"
            with setup.lock.exclusive():
                network = beside if self.format == "onnx" else module.eval()
                latency = time_model(network, task.latency_input(), backend=runtime)
            exported = replace(exported, latency=latency)
            self.report.content |= exported.to_dict()
        return exported

    def _recomputed(self) -> tuple[ChainResult, torch.Tensor, tuple[str, ...]]:
        """The network, if it is the one of the log, and the outputs that a file must have, with remarks on them."""
        recorded, result = self.chain.stored_outputs(), self.chain.run()
        task, logged = self.chain.setup.task, self.logged
        self.report.content |= {"format": self.format, "recorded": dict(result.metrics), "logged": logged}
        again = result.metrics[task.quality]
        if logged is not None and not abs(again - logged) <= RERUN_TOLERANCE * max(1.0, abs(logged)):
            raise MismatchError(
                f"{self.path.name}: the trial scored {task.quality} {logged:.6g}, run again it scores {again:.6g}: "
                "the code, a library or the machine has changed since"
            )
        if recorded is not None:
            return result, recorded, ()
        if result.outputs is None:
            raise InputError(f"task {task.name!r}: its outputs hold no logits, so that no file can be compared")
        return result, result.outputs, ("the trial's outputs were not in the store: it ran again",)

    def _written(self, result: ChainResult, found: Deployable, beside: Path) -> tuple[Artifact, torch.nn.Module]:
        """The file, under the name that it will have, and the module that runs it."""
        setup = self.chain.setup
        artifact, module = write(
            found,
            setup.example_input,
            beside,
            self.format,
            record=file_record(setup, result.state),
            compress=self.compress,
            build=setup.build_for_file,
            batch=batch_size_of(setup.task.latency_input()),
        )
        return replace(artifact, path=self.path), module


def _chance(task: Task) -> float:
    try:
        return task.chance
    except InputError:  # a recipe alone asks for none: then a hundredth of the quality itself is allowed
        return 0.0


def _rounds(found: Deployable) -> bool:
    return any(code.input is not None or code.output is not None for code in found.codes.values())


def _check(
    setup: Any, chain: Chain, module: torch.nn.Module, recorded: torch.Tensor
) -> tuple[Agreement, dict[str, float], int]:
    """Run a file on the validation split: how its first outputs agree with the recorded, its metrics, its answers."""
    outputs: list[Any] = []
    with setup.lock.shared():
        metrics = evaluate(module, setup.task, chain.context.loaders["validation"], torch.device("cpu"), outputs)
    answers = sum(math.prod(logits_of(output).shape[:-1]) for output in outputs)
    return compare(recorded, record(outputs, recorded.numel())), metrics, answers


def format_exported(name: str, found: Exported, quality: str) -> str:
    """One model's export in one line."""
    agreement, artifact = found.agreement, found.artifact
    same = "" if agreement.top1 is None else f"same answer in {agreement.top1:.1%} of {agreement.samples} samples, "
    parts = [
        f"{name}: {artifact.path} ({artifact.file_bytes:,} bytes)",
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
