"""A task as an objective: a recipe in, metrics and costs out. This is what a worker of a study runs."""

from __future__ import annotations

import importlib
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from autoreg.artifacts.onnx.graph import ExportError
from autoreg.artifacts.skeleton import build_skeleton, latency_key, write_skeleton
from autoreg.costs.count import count
from autoreg.costs.levels import Levels
from autoreg.costs.predict import Costs, predict
from autoreg.errors import InputError
from autoreg.latency.artifact_latency import measure
from autoreg.latency.onnx_runtime import OnnxError
from autoreg.latency.table.model import LatencyModel
from autoreg.methods.sparsity.masks import masks
from autoreg.network.surgery.factors import factor_names
from autoreg.plan import Phase, compile_plan, identity, phase_costs
from autoreg.tasks import Task, load_task
from autoreg.tasks.batches import batch_size_of
from autoreg.tasks.splits import named_sets
from autoreg.trial.chain import Chain, OnRung, Outcome
from autoreg.trial.loop import evaluate
from autoreg.trial.model_state import plain_copy
from autoreg.trial.reference import Reference
from autoreg.trial.resolve import resolve
from autoreg.trial.setup import Options, Setup
from autoreg.trial_info import Latency, LayerRecord, PredictedLatency, TrialInfo

FOLD_STEP = 1000  # steps below it are epochs of the first fold; k * FOLD_STEP says that k folds are done


class Reporter(Protocol):
    """What a task needs of a trial: a seed, reports that are answered, and a record."""

    seed: int

    @property
    def info(self) -> TrialInfo:
        """What the trial records beside its metrics."""

    def report(self, step: int, metrics: Mapping[str, float]) -> None:
        """Tell how the trial does."""

    def should_stop(self) -> bool:
        """Whether the trial should end now."""


class Stopped(Exception):
    """Raised within a chain when the trial was told to stop."""


@dataclass(frozen=True)
class TaskRef:
    """How a worker finds the task: by name and parameters, after importing the user's modules.

    Attributes:
        name: a task's name, an import path, or the task itself.
        params: what its factory is given.
        imports: modules that the user named.
        study_folder: the folder of the study file that names the task, absolute; None when the user named it. A study
            may name only what lies beside it, what is installed as a task, and `imports`.
    """

    name: Any
    params: Mapping[str, Any]
    imports: tuple[str, ...] = ()
    study_folder: str | None = None

    @classmethod
    def recorded(cls, study: Mapping[str, Any]) -> TaskRef:
        """The task that a study.json names; when its study file is gone, files are seen from the current folder."""
        task, folder = study["task"], study.get("study_folder")
        if folder is not None and not Path(folder).is_dir():
            folder = os.getcwd()
        return cls(task["name"], task["params"], tuple(study.get("imports", ())), folder)

    def load(self) -> Task:
        """Import what is to be imported and make the task.

        Raises:
            InputError: a module cannot be imported, or the task cannot be made.
        """
        import_modules(self.imports)
        folder = None if self.study_folder is None else Path(self.study_folder)
        return load_task(self.name, dict(self.params), study_folder=folder, imports=self.imports)


def import_modules(names: Sequence[str]) -> None:
    """Import modules of the user's own, seen from the working folder too.

    Raises:
        InputError: one of them cannot be imported.
    """
    if names and os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    for name in names:
        try:
            importlib.import_module(name)
        except Exception as error:  # whatever goes wrong in it is the user's to mend
            raise InputError(f"--import {name}: cannot be imported ({type(error).__name__}: {error})") from error


class TaskObjective:
    """Evaluates recipes on a task; a copy of it lives in every worker.

    Args:
        ref: the task.
        options: where results are kept, device and threads.
        latency: whether latency is measured.
        latency_needed: whether a recipe fails whose network cannot be timed; else it has no `latency_ms`, and a note.
        rungs: whether compressed copies are scored while the first fold trains.
    """

    def __init__(
        self,
        ref: TaskRef,
        options: Options,
        *,
        latency: bool = True,
        rungs: bool = True,
        latency_needed: bool = False,
    ) -> None:
        self.ref, self.options, self.latency, self.rungs = ref, options, latency, rungs
        self.latency_needed = latency_needed
        self._setup: Setup | None = None
        self._reference: Reference | None = None
        self._latency_model: LatencyModel | None = None
        self._latency_known = False

    def __getstate__(self) -> dict[str, Any]:
        own = {"_setup": None, "_reference": None, "_latency_model": None, "_latency_known": False}
        return {**self.__dict__, **own}

    @property
    def setup(self) -> Setup:
        """The task made ready, once per process."""
        if self._setup is None:
            self._setup = Setup(self.ref.load(), self.options)
        return self._setup

    @property
    def reference(self) -> Reference:
        """The dense reference, trained or taken from the store when it is first asked a question."""
        if self._reference is None:
            setup = self.setup

            def train() -> Any:
                fold, seed = setup.task.folds[0], self.options.reference_seed
                chain = Chain(setup, self._reference_unasked(), setup.dense, seed=seed, fold=fold)
                return chain.trained().model

            self._reference = Reference(setup, train)
        return self._reference

    def _reference_unasked(self) -> Reference:
        return Reference(self.setup, _no_reference)

    def costs(self, config: Mapping[str, Any]) -> dict[str, float]:
        """What a complete recipe costs, without training it (the dense reference apart).

        All exactly but latency, which is there where this machine has a table for the network: then it is the lower
        end of what is foretold, so that no recipe is passed over for an error of the table.
        """
        costs, foretold = self.costs_and_latency(config)
        return costs if foretold is None else {**costs, "latency_ms": foretold.low}

    def costs_and_latency(self, config: Mapping[str, Any]) -> tuple[dict[str, float], PredictedLatency | None]:
        """What is known exactly of a complete recipe, and the latency foretold by this machine's table, if any."""
        levels = resolve(config, self.setup, self.reference)
        costs = cost_metrics(predict(self.setup.profile, levels))
        return costs, None if self.latency_model is None else self.latency_model.predict(levels)

    @property
    def latency_model(self) -> LatencyModel | None:
        """What foretells latency on this machine, None where `autoreg latency` was not run for this network."""
        if not self._latency_known:
            self._latency_model = LatencyModel.load(self.setup) if self.latency else None
            self._latency_known = True
        return self._latency_model

    def identity(self, config: Mapping[str, Any]) -> str:
        """A key that recipes share when they do the same thing to this task."""
        return identity(config, self.setup.registry)

    def prefix(self, config: Mapping[str, Any]) -> str:
        """A label that recipes share when they share their training, and with it its luck."""
        trained = [phase.key for phase in self._phases(config) if phase.name in ("train", "tune")]
        return trained[-1] if trained else ""

    def price(self, config: Mapping[str, Any]) -> tuple[tuple[str, float], ...]:
        """Key and weighted epochs of each phase of a complete recipe; recipes share a phase when they share its key.

        A trial's `info.phase_fractions` says how much of each is done, in this order.
        """
        return phase_costs(self._phases(config))

    def _phases(self, config: Mapping[str, Any]) -> tuple[Phase, ...]:
        return compile_plan(config, self.setup.registry, base="", seed=0, fold="", dense=self.setup.dense)

    def chain(self, config: Mapping[str, Any], *, seed: int, fold: str, on_rung: OnRung | None = None) -> Chain:
        """The chain of phases of a complete recipe on one fold."""
        return Chain(self.setup, self.reference, config, seed=seed, fold=fold, on_rung=on_rung)

    def __call__(self, config: Mapping[str, Any], trial: Reporter) -> dict[str, float]:
        """Carry a complete recipe out on every fold and return the mean of its metrics, with its costs.

        The skeleton is timed first: like all costs, latency is known before anything is trained.
        """
        return self.carry_out(config, trial)

    def carry_out(self, config: Mapping[str, Any], trial: Reporter, *, test: bool = False) -> dict[str, float]:
        """As a call; with `test` the models are scored on the test sets too, into `trial.info.test_metrics`."""
        folds = self.setup.task.folds
        begun = time.perf_counter()
        costs = self._known(config, trial)
        outcomes: list[Outcome] = []
        chains: list[Chain] = []
        try:
            for index, fold in enumerate(folds):
                on_rung = self._reporter(trial, costs) if self.rungs and index == 0 else None
                chains.append(self.chain(config, seed=trial.seed, fold=fold, on_rung=on_rung))
                outcomes.append(chains[-1].run())
                if index == 0:
                    self._compare(outcomes[0], trial, costs)
                if index + 1 < len(folds) and self.rungs:
                    metrics = mean_metrics([outcome.metrics for outcome in outcomes])
                    self._reporter(trial, costs)(FOLD_STEP * (index + 1), metrics)
        except Stopped:
            pass
        info = trial.info
        info.epochs_requested = sum(chain.paid.asked for chain in chains) / len(chains)
        info.epochs_run = sum(chain.paid.paid for chain in chains) / len(folds)
        info.seconds = time.perf_counter() - begun
        info.phase_seconds = _sum_by_key([chain.paid.seconds for chain in chains])
        phases = range(len(chains[0].phases))
        info.phase_fractions = [sum(i < chain.finished for chain in chains) / len(folds) for i in phases]
        quality = self.setup.task.quality
        if outcomes and all(outcome.uncompressed is not None for outcome in outcomes):
            info.uncompressed_quality = mean_metrics([dict(o.uncompressed or {}) for o in outcomes])[quality]
        if len(outcomes) > 1:
            info.fold_quality = {f: o.metrics[quality] for f, o in zip(folds, outcomes, strict=False)}
        if test:
            info.test_metrics = self._test(outcomes)
        return {**(mean_metrics([outcome.metrics for outcome in outcomes]) if outcomes else {}), **costs}

    def _test(self, outcomes: Sequence[Outcome]) -> dict[str, dict[str, float]]:
        """By test set, the mean of the metrics over the folds' models."""
        by_set: dict[str, list[Mapping[str, float]]] = {}
        for fold, outcome in zip(self.setup.task.folds, outcomes, strict=True):
            for name, loader in named_sets(self.setup.loaders(fold)["test"], "test").items():
                metrics = evaluate(outcome.model, self.setup.task, loader, self.setup.device)
                by_set.setdefault(name, []).append(metrics)
        return {name: mean_metrics(found) for name, found in by_set.items()}

    def _known(self, config: Mapping[str, Any], trial: Reporter) -> dict[str, float]:
        """Costs of a recipe before training, its skeleton's latency among them."""
        levels = resolve(config, self.setup, self.reference)
        predicted = predict(self.setup.profile, levels)
        costs = cost_metrics(predicted)
        trial.info.layers = layer_records(predicted, levels)
        timed = self._timed(config, levels, trial) if self.latency else None
        if timed is not None:
            costs["latency_ms"] = timed.ms
            trial.info.latency = timed
            if self.latency_model is not None:
                trial.info.latency_predicted = self.latency_model.predict(levels)
        return costs

    def _timed(self, config: Mapping[str, Any], levels: Levels, trial: Reporter) -> Latency | None:
        """The latency of a recipe; None, and a note, where there is none to be had and nothing asks for it."""
        try:
            return self._latency(config, levels)
        except (ExportError, OnnxError) as error:
            if self.latency_needed:
                raise
            trial.info.notes = [f"latency_ms is not known: {error}"]
            return None

    def _reporter(self, trial: Reporter, costs: Mapping[str, float]) -> OnRung:
        def report(step: int, metrics: Mapping[str, float]) -> None:
            trial.report(step, {**metrics, **costs})
            if trial.should_stop():
                raise Stopped

        return report

    def _compare(self, outcome: Outcome, trial: Reporter, costs: Mapping[str, float]) -> None:
        """Note what was trained, and where the finished model does not cost what was predicted."""
        notes = [*trial.info.notes, *outcome.carried.notes]
        for name, value in cost_metrics(self.count(outcome)).items():
            if costs[name] != value:
                notes.append(f"{name}: predicted {costs[name]:,.0f}, counted {value:,.0f}")
        trial.info.notes = notes
        trial.info.train_losses = [round(loss, 5) for loss in outcome.carried.curve]
        trained = outcome.carried.trained
        trial.info.layers = [
            replace(layer, trained=trained is None or f"{layer.name}.weight" in trained) for layer in trial.info.layers
        ]

    def count(self, outcome: Outcome) -> Costs:
        """Count what the finished model costs."""
        model = outcome.carried.model
        found = {name: mask.cpu() for name, mask in masks(model).items()}
        return count(plain_copy(model).cpu(), self.setup.example_input, found, outcome.levels)

    def _latency(self, config: Mapping[str, Any], levels: Levels) -> Latency:
        """Time the artifact of the untrained skeleton at the recipe's structure and bits, once per architecture."""
        setup = self.setup
        timed = setup.task.latency_input()
        symmetric = bool(config["quantization"]["activations"]["symmetric"])
        model = build_skeleton(setup.skeleton(), setup.example_input, setup.profile, levels)
        key = latency_key(model, timed, levels, act_symmetric=symmetric)

        def build() -> bytes:
            batch = batch_size_of(timed)
            return write_skeleton(model, setup.example_input, levels, act_symmetric=symmetric, batch=batch)

        return measure(key, build, timed, setup.latency, setup.lock)


def _no_reference() -> Any:
    raise AssertionError("the dense recipe needs no reference")


def cost_metrics(costs: Costs) -> dict[str, float]:
    """The totals of a recipe's costs, as metrics."""
    names = ("flops", "effective_flops", "bops", "weights", "params", "bytes")
    return {name: float(getattr(costs, name)) for name in names}


def mean_metrics(found: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The mean of each metric."""
    return {name: sum(metrics[name] for metrics in found) / len(found) for name in found[0]}


def layer_records(costs: Costs, levels: Levels) -> list[LayerRecord]:
    """What the report shows of each layer: structure, density, bits, and whether it is still there.

    Two layers of low rank say in whose place they stand, as `factor_of`.
    """
    factors = {factor: name for name in levels.ranks for factor in factor_names(name)}
    return [
        LayerRecord(
            name=layer.name,
            type=layer.type,
            shape=tuple(layer.shape),
            macs=layer.macs,
            density=layer.retained / layer.weight_count if layer.weight_count else 0.0,
            weight_bits=layer.bits,
            activation_bits=layer.activation_bits,
            dropped=layer.dropped,
            factor_of=factors.get(layer.name),
        )
        for layer in costs.per_layer
    ]


def _sum_by_key(found: Sequence[Mapping[str, float]]) -> dict[str, float]:
    total: dict[str, float] = {}
    for part in found:
        for name, value in part.items():
            total[name] = total.get(name, 0.0) + value
    return total
