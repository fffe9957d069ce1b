"""A task as an objective: a recipe in, metrics and costs out. This is what a worker of a study runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from autoreg.artifacts.export import FileFormat
from autoreg.artifacts.onnx.graph import ExportError
from autoreg.artifacts.skeleton import build_skeleton, latency_key, write_skeleton
from autoreg.costs.count import count
from autoreg.costs.levels import Levels
from autoreg.costs.predict import Costs, predict
from autoreg.errors import InputError
from autoreg.latency.artifact_latency import measure
from autoreg.latency.onnx_runtime import OnnxError
from autoreg.latency.table.model import LatencyModel
from autoreg.memo import memoized
from autoreg.methods.bound import bind
from autoreg.methods.sparsity.masks import masks
from autoreg.plan import TRAINING_PHASES, Phase, identity, phase_costs, teacher_members
from autoreg.tasks.batches import batch_size_of
from autoreg.tasks.splits import named_sets
from autoreg.trial.chain import Chain, ChainResult, OnRung
from autoreg.trial.file_size import FileSizePredictor, PredictedSize, measured_size
from autoreg.trial.loop import evaluate
from autoreg.trial.model_state import plain_copy
from autoreg.trial.narrow import narrow_setup, network_record
from autoreg.trial.reference import Reference
from autoreg.trial.resolve import resolve_network
from autoreg.trial.setup import Setup, TrialOptions
from autoreg.trial.summary import cost_metrics, layer_records, mean_metrics, sum_by_key, with_dropped
from autoreg.trial.task_ref import TaskRef
from autoreg.trial.worker_setup import setup_key, warm_up, worker_setup
from autoreg.trial_info import Latency, PredictedLatency, TrialInfo

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


class TaskObjective:
    """Evaluates recipes on a task; a copy of it lives in every worker.

    Args:
        ref: the task.
        options: the store, device and threads.
        latency: whether latency is measured.
        latency_needed: whether a recipe fails whose network cannot be timed; else it has no `latency_ms`, and a note.
        file_format: format of the file whose size is `file_bytes`; None where nobody asks for that.
        rungs: whether compressed copies are scored while the first fold trains.
    """

    def __init__(
        self,
        ref: TaskRef,
        options: TrialOptions,
        *,
        latency: bool = True,
        rungs: bool = True,
        latency_needed: bool = False,
        file_format: FileFormat | None = None,
    ) -> None:
        self.ref, self.options, self.latency, self.rungs = ref, options, latency, rungs
        self.latency_needed, self.file_format = latency_needed, file_format
        self._setup: Setup | None = None
        self._key = ""
        self._reference: Reference | None = None
        self._latency_model: LatencyModel | None = None
        self._latency_model_read = False
        self._file_sizes: FileSizePredictor | None = None
        self._phases: Callable[[Mapping[str, Any]], tuple[Phase, ...]] | None = None

    def __getstate__(self) -> dict[str, Any]:
        rebuilt = dict.fromkeys(("_setup", "_reference", "_latency_model", "_file_sizes", "_phases"))
        return {**self.__dict__, **rebuilt, "_latency_model_read": False, "_key": setup_key(self.ref, self.options)}

    def without_rungs(self, options: TrialOptions | None = None, *, latency: bool = True) -> TaskObjective:
        """One that reports nothing while it trains; with other options where they are given.

        A recipe whose network cannot be timed does not fail there.
        """
        given = options or self.options
        return type(self)(self.ref, given, latency=latency, rungs=False, file_format=self.file_format)

    @property
    def setup(self) -> Setup:
        """The task, ready for trials; built once per process."""
        if self._setup is None:
            self._setup = worker_setup(self._key, self.ref, self.options)
        return self._setup

    @property
    def reference(self) -> Reference:
        """The dense reference; its network is trained, or taken from the store, when something first needs it."""
        if self._reference is None:
            setup = self.setup
            self._reference = Reference(setup, lambda: self.dense_chain(setup.dense).trained().model)
        return self._reference

    def warm_up(self) -> None:
        """What a worker does before its first trial."""
        warm_up(self.setup, latency=self.latency)

    def dense_chain(self, config: Mapping[str, Any]) -> Chain:
        """The chain of a recipe that removes nothing, whose levels need no reference, on the first fold."""
        fold, seed = self.setup.task.folds[0], self.options.reference_seed
        reference = Reference(self.setup, _no_reference)
        return Chain(self.setup, reference, config, seed=seed, fold=fold, snapshots=self.rungs)

    def costs(self, config: Mapping[str, Any]) -> dict[str, float]:
        """What a complete recipe costs, without training it (the dense reference apart).

        All exactly but those of `costs_and_intervals` that have one: of these the lower end, so that no recipe is
        screened out for an error of what was predicted.
        """
        costs, intervals = self.costs_and_intervals(config)
        return {**costs, **{name: interval.low for name, interval in intervals.items()}}

    def costs_and_intervals(
        self, config: Mapping[str, Any]
    ) -> tuple[dict[str, float], dict[str, PredictedLatency | PredictedSize]]:
        """What is known exactly of a complete recipe, and what is predicted.

        `latency_ms` is predicted where this machine has a table for the network, `file_bytes` where it is asked for.
        """
        recipe = bind(config)
        setup, levels = resolve_network(recipe, self.reference)
        predicted = predict(setup.profile, levels)
        intervals: dict[str, PredictedLatency | PredictedSize] = {}
        latency = self._predicted_latency(setup, levels)
        if latency is not None:
            intervals["latency_ms"] = latency
        if self.file_sizes is not None:
            intervals["file_bytes"] = self.file_sizes.predict(recipe, setup, levels, predicted)
        return cost_metrics(predicted), intervals

    def _predicted_latency(self, setup: Setup, levels: Levels) -> PredictedLatency | None:
        """The latency that this machine's table predicts; None without one, and of networks that a task builds."""
        whole = None if self.latency_model is None else setup.on_whole(levels)
        return None if whole is None or self.latency_model is None else self.latency_model.predict(whole)

    @property
    def file_sizes(self) -> FileSizePredictor | None:
        """What predicts sizes of files, None where nobody asks for them."""
        if self.file_format is None:
            return None
        if self._file_sizes is None or self._file_sizes.format != self.file_format:
            self._file_sizes = FileSizePredictor(self.reference, self.file_format)
        return self._file_sizes

    @property
    def latency_model(self) -> LatencyModel | None:
        """What predicts latency on this machine, None where `autoreg latency` was not run for this network."""
        if not self._latency_model_read:
            self._latency_model = LatencyModel.load(self.setup) if self.latency else None
            self._latency_model_read = True
        return self._latency_model

    def identity(self, config: Mapping[str, Any]) -> str:
        """A key that recipes share when they do the same thing to this task."""
        return identity(config, self.setup.registry, self._network(config))

    def _network(self, config: Mapping[str, Any]) -> dict[str, Any] | None:
        """What makes the network of a recipe narrower from the start, None where nothing does.

        A network that cannot be made is known by the recipe's own words: its key is asked for before its costs are.
        """
        recipe = bind(config)
        if recipe.network is None:
            return None
        try:
            setup = narrow_setup(recipe.network, self.reference, trained=recipe.starts_trained)
        except InputError:
            return {"refused": config["network"]}
        return None if setup is None else network_record(recipe, setup)

    def training_key(self, config: Mapping[str, Any]) -> str:
        """A key that recipes share when they share their training; the effect of its seed is then the same for all."""
        return next((phase.key for phase in self.phases(config)[::-1] if phase.name in TRAINING_PHASES), "")

    def phase_costs(self, config: Mapping[str, Any]) -> tuple[tuple[str, float] | tuple[str, float, int], ...]:
        """Key and weighted epochs of each phase of a complete recipe; recipes share a phase when they share its key.

        A teacher's training has its seed beside them, see `autoreg.plan.phase_costs`.

        A trial's `info.phase_fractions` says how much of each is done, in this order.
        """
        return phase_costs(self.phases(config), self.setup.teacher_seeds(teacher_members(config)))

    def phases(self, config: Mapping[str, Any]) -> tuple[Phase, ...]:
        """The phases of a complete recipe; their keys know nothing of seeds and folds; it must not be changed."""
        if self._phases is None:
            self._phases = memoized(lambda recipe: self.setup.phases(recipe, self._network(recipe)))
        return self._phases(config)

    def chain(self, config: Mapping[str, Any], *, seed: int, fold: str, on_rung: OnRung | None = None) -> Chain:
        """The chain of phases of a complete recipe on one fold."""
        return Chain(self.setup, self.reference, config, seed=seed, fold=fold, on_rung=on_rung, snapshots=self.rungs)

    def __call__(self, config: Mapping[str, Any], trial: Reporter) -> dict[str, float]:
        """Carry a complete recipe out on every fold and return the mean of its metrics, with its costs.

        The skeleton is timed first: like all costs, latency is known before anything is trained.
        """
        return self.evaluate(config, trial)

    def evaluate(self, config: Mapping[str, Any], trial: Reporter, *, test: bool = False) -> dict[str, float]:
        """As a call; with `test` the models are scored on the test sets too, into `trial.info.test_metrics`."""
        folds = self.setup.task.folds
        begun = time.perf_counter()
        costs = self._known_costs(config, trial.info)
        report = self._reporter(trial, costs)
        chains: list[Chain] = []
        results: list[ChainResult] = []
        try:
            for index, fold in enumerate(folds):
                on_rung = report if self.rungs and index == 0 else None
                chains.append(self.chain(config, seed=trial.seed, fold=fold, on_rung=on_rung))
                results.append(chains[-1].run())
                if index == 0:
                    self._describe(results[0], trial.info, costs)
                    costs |= self._file_bytes(chains[0].setup, results[0])
                if index + 1 < len(folds) and self.rungs:
                    report(FOLD_STEP * (index + 1), mean_metrics([result.metrics for result in results]))
        except Stopped:
            pass
        self._summarize(chains, results, trial.info)
        trial.info.seconds = time.perf_counter() - begun
        if test:
            trial.info.test_metrics = self._test_metrics(results)
        return {**(mean_metrics([result.metrics for result in results]) if results else {}), **costs}

    def _summarize(self, chains: Sequence[Chain], results: Sequence[ChainResult], info: TrialInfo) -> None:
        """Record what the chains took, and their quality by fold and before compression."""
        folds, quality = self.setup.task.folds, self.setup.task.quality
        works = [chain.context.work for chain in chains]
        info.epochs_requested = sum(work.epochs_requested for work in works) / len(works)
        info.epochs_run = sum(work.epochs_run for work in works) / len(folds)
        info.phase_seconds = sum_by_key([work.seconds for work in works])
        info.phase_fractions = [sum(done) / len(folds) for done in zip(*[c.parts_done() for c in chains], strict=True)]
        before = [result.uncompressed for result in results if result.uncompressed is not None]
        if results and len(before) == len(results):
            info.uncompressed_quality = mean_metrics(before)[quality]
        if len(results) > 1:
            info.fold_quality = {f: result.metrics[quality] for f, result in zip(folds, results, strict=False)}

    def _test_metrics(self, results: Sequence[ChainResult]) -> dict[str, dict[str, float]]:
        """By test set, the mean of the metrics over the folds' models."""
        by_set: dict[str, list[Mapping[str, float]]] = {}
        for fold, result in zip(self.setup.task.folds, results, strict=True):
            for name, loader in named_sets(self.setup.loaders(fold)["test"], "test").items():
                metrics = evaluate(result.model, self.setup.task, loader, self.setup.device)
                by_set.setdefault(name, []).append(metrics)
        return {name: mean_metrics(found) for name, found in by_set.items()}

    def _known_costs(self, config: Mapping[str, Any], info: TrialInfo) -> dict[str, float]:
        """Costs of a recipe before training, its skeleton's latency among them; they are recorded."""
        setup, levels = resolve_network(config, self.reference)
        predicted = predict(setup.profile, levels)
        costs = cost_metrics(predicted)
        info.layers = with_dropped(layer_records(predicted, levels), setup.whole.profile)
        info.latency = self._latency_if_possible(config, setup, levels, info) if self.latency else None
        if info.latency is not None:
            costs["latency_ms"] = info.latency.ms
            info.latency_predicted = self._predicted_latency(setup, levels)
        return costs

    def _latency_if_possible(
        self, config: Mapping[str, Any], setup: Setup, levels: Levels, info: TrialInfo
    ) -> Latency | None:
        """The latency of a recipe; None, and a note, where there is none to be had and nothing needs it."""
        try:
            return self._latency(config, setup, levels)
        except (ExportError, OnnxError) as error:
            if self.latency_needed:
                raise
            info.notes = [f"latency_ms is not known: {error}"]
            return None

    def _reporter(self, trial: Reporter, costs: Mapping[str, float]) -> OnRung:
        def report(step: int, metrics: Mapping[str, float]) -> None:
            trial.report(step, {**metrics, **costs})
            if trial.should_stop():
                raise Stopped

        return report

    def _describe(self, result: ChainResult, info: TrialInfo, costs: Mapping[str, float]) -> None:
        """Record what was trained, and where the finished model does not cost what was predicted."""
        notes = [*info.notes, *result.state.notes]
        for name, value in cost_metrics(self.count(result)).items():
            if costs[name] != value:
                notes.append(f"{name}: predicted {costs[name]:,.0f}, counted {value:,.0f}")
        info.notes = notes
        info.train_losses = [round(loss, 5) for loss in result.state.train_losses]
        trained = result.state.trained
        info.layers = [
            replace(layer, trained=trained is None or f"{layer.name}.weight" in trained) for layer in info.layers
        ]

    def count(self, result: ChainResult) -> Costs:
        """Count what the finished model costs."""
        model = result.state.model
        found = {name: mask.cpu() for name, mask in masks(model).items()}
        return count(plain_copy(model).cpu(), self.setup.example_input, found, result.levels)

    def _file_bytes(self, setup: Setup, result: ChainResult) -> dict[str, float]:
        """The size of the file that an export of the finished network writes, where it is asked for."""
        if self.file_format is None:
            return {}
        with setup.lock.shared():
            return {"file_bytes": float(measured_size(setup, result.state, result.model, self.file_format))}

    def _latency(self, config: Mapping[str, Any], setup: Setup, levels: Levels) -> Latency:
        """Time the artifact of the untrained skeleton at the recipe's structure and bits, once per architecture."""
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
