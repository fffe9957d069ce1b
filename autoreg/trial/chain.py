"""One recipe carried through its phases on one fold, with every finished phase taken from or left in the store."""

from __future__ import annotations

import copy
import itertools
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from autoreg.artifacts.verify import record
from autoreg.costs.levels import Levels
from autoreg.errors import InputError
from autoreg.methods import create
from autoreg.methods.layers.selectors import select_parameters
from autoreg.plan import Phase, compile_plan, content_hash, method_of, rung_epochs, share_of, total_epochs
from autoreg.tasks.splits import seed_loaders
from autoreg.tasks.subset import EASY_FRACTION
from autoreg.trial.compress import Masker, drop, factor, quantize, remove_to
from autoreg.trial.loop import evaluate, fit, forward, make_optimizer, phase_seed, re_estimate, seeded, steps_in
from autoreg.trial.model_state import ModelState, baked_copy, freeze_except, pack, unpack
from autoreg.trial.reference import Reference, calibration_batches, score_weights
from autoreg.trial.resolve import resolve
from autoreg.trial.run import Run
from autoreg.trial.setup import Setup
from autoreg.trial.store import Entry

FINETUNE_RATE = 0.3  # of the training rate: weights that are already good, and a schedule of its own
QAT_RATE = 0.1
TRAINING = ("train", "tune")
COMPRESSING = ("sparsify", "quantize")

OnRung = Callable[[int, Mapping[str, float]], None]


@dataclass
class Paid:
    """What a chain cost: epochs asked for and paid, seconds by phase."""

    asked: float = 0.0
    paid: float = 0.0
    seconds: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """A carried model at the end of its chain, re-normalized, with its validation metrics and first outputs.

    `uncompressed` are the metrics of the same network when it was trained and nothing had been taken from it yet; None
    where nothing ever was.
    """

    carried: ModelState
    model: nn.Module
    metrics: Mapping[str, float]
    levels: Levels
    paid: Paid
    outputs: torch.Tensor | None = None
    uncompressed: Mapping[str, float] | None = None


class Chain:
    """Carries one recipe through its phases.

    Args:
        setup: task, stores, machine.
        reference: the dense reference that levels are resolved on.
        config: a complete recipe.
        seed: the replicate's seed.
        fold: the fold that is trained and scored.
        on_rung: called with (epoch, metrics of a compressed copy) at the rungs of training; may raise to stop.
    """

    def __init__(
        self,
        setup: Setup,
        reference: Reference,
        config: Mapping[str, Any],
        *,
        seed: int,
        fold: str,
        on_rung: OnRung | None = None,
    ) -> None:
        self.setup, self.config, self.seed, self.fold = setup, config, seed, fold
        self.levels = resolve(config, setup, reference)
        self.phases = compile_plan(
            config,
            setup.registry,
            base=setup.base,
            seed=seed,
            fold=fold,
            dense=setup.dense,
            resolved=_resolved(config, self.levels),
            given=setup.given_digest,
        )
        self.on_rung = on_rung
        self.paid = Paid(asked=total_epochs(self.phases))
        self.finished = 0  # phases that are done, by this chain or by another before it
        self.loaders = setup.loaders(fold)

    def run(self) -> Outcome:
        """Carry the recipe out and score it on the validation split."""
        carried = self._start()
        uncompressed: Mapping[str, float] | None = None
        for phase, then in itertools.pairwise(self.phases):
            carried = self._phase(phase, carried)
            if phase.name in TRAINING and then.name in COMPRESSING:
                uncompressed = self._uncompressed(phase, carried)
        outputs: list[Any] = []
        model, metrics = self._measured(carried, outputs)
        return Outcome(carried, model, metrics, self.levels, self.paid, self._recorded(outputs), uncompressed)

    def _measured(self, carried: ModelState, outputs: list[Any] | None = None) -> tuple[nn.Module, dict[str, float]]:
        """A re-normalized copy of a model and its validation metrics."""
        begun = time.perf_counter()
        with self.setup.lock.shared():
            model = self._normalized(carried.model)
            metrics = evaluate(model, self.setup.task, self.loaders["validation"], self.setup.device, outputs)
        self.paid.seconds["measure"] = self.paid.seconds.get("measure", 0.0) + time.perf_counter() - begun
        return model, metrics

    def _uncompressed(self, phase: Phase, carried: ModelState) -> Mapping[str, float]:
        """Validation metrics of what was trained, before it is compressed; left in the store for all that share it."""
        key = content_hash([phase.key, "uncompressed"])
        entry = self.setup.store.get(key) if self.setup.options.cache else None
        if entry is not None:
            return {str(name): float(value) for name, value in entry.meta["metrics"].items()}
        _, metrics = self._measured(carried)
        if self.setup.options.cache and all(math.isfinite(value) for value in metrics.values()):
            self.setup.store.put(key, Entry({}, {"metrics": metrics}))
        return metrics

    def _recorded(self, outputs: list[Any]) -> torch.Tensor | None:
        """The first outputs, left in the store for files to be compared with; None where there are no logits."""
        try:
            kept = record(outputs)
        except InputError:
            return None
        if self.setup.options.cache:
            self.setup.store.put(self.phases[-1].key, Entry({"outputs": kept}, {}))
        return kept

    def recorded(self) -> torch.Tensor | None:
        """The outputs that an earlier run of this chain left in the store, None where there are none."""
        entry = self.setup.store.get(self.phases[-1].key)
        return None if entry is None else entry.tensors.get("outputs")

    def trained(self) -> ModelState:
        """Carry out the training phases only."""
        carried = self._start()
        for phase in self.phases:
            if phase.name in ("train", "tune"):
                carried = self._phase(phase, carried)
        return carried

    def _start(self) -> ModelState:
        model = self.setup.fresh_model(phase_seed(self.seed, "init"))
        given = self.setup.given_weights
        if given is not None and self.config["training"]["start"] == "pretrained":
            model.load_state_dict(dict(given))
        return ModelState(model.to(self.setup.device))

    def _phase(self, phase: Phase, carried: ModelState) -> ModelState:
        """Take a phase from the store, or carry it out and leave it there; then report its rungs.

        No lock of the store is held while a report waits for its answer: whoever answers may want the same entry.
        """
        store, rungs = self.setup.store, self._rungs(phase)
        if not self.setup.options.cache:
            done = self._work(phase, carried)
            self.finished += 1
            self._report(rungs[-1:], done)
            return done
        found = self._stored(phase)
        if found is None:
            with store.writing(phase.key):
                found = self._stored(phase)  # another process may have been first
                if found is None:
                    done = self._work(phase, carried)
                    store.put(phase.key, pack(done))
            if found is None:
                self.finished += 1
                self._report(rungs[-1:], done)
                return done
        self.finished += 1
        for epoch in rungs[:-1]:
            self._report((epoch,), self._snapshot(phase, epoch))
        self._report(rungs[-1:], found)
        return found

    def _stored(self, phase: Phase) -> ModelState | None:
        """What the store holds of a phase, if it is whole and the snapshots of its rungs are there too."""
        store = self.setup.store
        if not all(store.has(self._rung_key(phase, epoch)) for epoch in self._rungs(phase)[:-1]):
            return None
        return self._unpacked(phase.key)

    def _unpacked(self, key: str) -> ModelState | None:
        entry = self.setup.store.get(key)
        if entry is None:
            return None
        try:
            return unpack(entry, self.setup)
        except (InputError, KeyError, RuntimeError, TypeError, ValueError):  # damaged: as good as missing
            self.setup.store.drop(key)
            return None

    def _snapshot(self, phase: Phase, epoch: int) -> ModelState | None:
        return self._unpacked(self._rung_key(phase, epoch))

    def _work(self, phase: Phase, carried: ModelState) -> ModelState:
        begun = time.perf_counter()
        with seeded(phase_seed(self.seed, self.fold, phase.name)) as generator:
            work = {"train": self._train, "tune": self._train, "sparsify": self._sparsify, "quantize": self._quantize}
            done = work[phase.name](phase, carried, generator)
        self.paid.seconds[phase.name] = self.paid.seconds.get(phase.name, 0.0) + time.perf_counter() - begun
        return done

    # -- training -------------------------------------------------------------------------------------------------

    def _train(self, phase: Phase, carried: ModelState, generator: torch.Generator) -> ModelState:
        settings = phase.settings
        carried = self._select(settings, carried)
        run = self._run(settings, carried, settings["epochs"], 1.0, generator)
        rungs = self._rungs(phase)
        curve: list[float] = []
        begin = 0
        for epoch in rung_epochs(int(settings["epochs"]))[:-1]:  # snapshots, whether or not somebody listens now
            curve += self._fit(run, phase, range(begin, epoch))
            begin = epoch
            here = carried.with_model(baked_copy(run.state.model))
            if self.setup.options.cache:
                self.setup.store.put(self._rung_key(phase, epoch), pack(here))
            if epoch in rungs:
                self._rung(epoch, here)
        curve += self._fit(run, phase, range(begin, int(settings["epochs"])))
        return carried.with_model(run.finish(), curve=(*carried.curve, *curve))

    def _select(self, settings: Mapping[str, Any], carried: ModelState) -> ModelState:
        name, parameters = method_of(settings["train"])
        if name == "all":
            freeze_except(carried.model, None)
            return carried
        selector = create("train", name, parameters)
        task = self.setup.task
        batches = calibration_batches(self.setup, self.fold)
        names = select_parameters(selector, carried.model, batches, lambda m, b: forward(m, task, b), task.loss)
        trained = tuple(sorted(names))
        freeze_except(carried.model, trained)
        return carried.with_model(carried.model, trained=trained)

    def _run(
        self,
        settings: Mapping[str, Any],
        carried: ModelState,
        epochs: int,
        rate: float,
        generator: torch.Generator,
        extra: tuple[Any, ...] = (),
    ) -> Run:
        """A run of the recipe's methods over a phase; its optimizer is built after the methods changed the model."""
        kinds = [kind for kind in ("reparam", "noise", "regularizer") if kind in settings]
        methods = [create(kind, *method_of(settings[kind])) for kind in kinds if settings[kind] != "none"]
        share = share_of(settings)
        steps = steps_in(self.loaders["train"]) if share == 1 else self.setup.subsets(self.fold).steps(share)
        run = Run(carried.model, None, (*methods, *extra), epochs=epochs, steps_per_epoch=steps, generator=generator)
        freeze_except(carried.model, carried.trained)
        run.state.optimizer = make_optimizer(carried.model, settings, rate)
        return run

    def _fit(self, run: Run, phase: Phase, epochs: range) -> list[float]:
        setup = self.setup
        schedule = phase.settings.get("schedule", "cosine")
        curve: list[float] = []
        for epoch in epochs:  # seeded epoch by epoch, so that what happens between epochs changes nothing
            loader = self._loader(phase, epoch)
            seed_loaders(loader, phase_seed(self.seed, self.fold, phase.name, epoch))
            one = range(epoch, epoch + 1)
            fixed = {"device": setup.device, "between": setup.lock.shared, "schedule": schedule}
            curve += fit(run, setup.task, loader, epochs=one, **fixed)
            self.paid.paid += phase.epochs / int(phase.settings["epochs"])
        return curve

    def _loader(self, phase: Phase, epoch: int) -> Any:
        """The training data of an epoch: all of it, or a share; a training begins with easy sets."""
        share = share_of(phase.settings)
        if share == 1:
            return self.loaders["train"]
        easy = phase.name == "train" and epoch < EASY_FRACTION * int(phase.settings["epochs"])
        seed = phase_seed(self.seed, self.fold, phase.name, epoch, "subset")
        return self.setup.subsets(self.fold).loader(share, seed, epoch if easy else None)

    # -- rungs ----------------------------------------------------------------------------------------------------

    def _rungs(self, phase: Phase) -> tuple[int, ...]:
        """Rungs of the recipe's own training phase."""
        own = [p for p in self.phases if p.name in ("train", "tune")]
        if self.on_rung is None or not own or phase.key != own[-1].key:
            return ()
        if phase.name == "train" and self.config["training"]["start"] == "pretrained":
            return ()
        return rung_epochs(int(phase.settings["epochs"]))

    def _rung_key(self, phase: Phase, epoch: int) -> str:
        return f"{phase.key[:-4]}{epoch:04d}"

    def _rung(self, epoch: int, carried: ModelState) -> None:
        """Score a compressed, re-normalized copy: the error of the dense network says nothing of the sparse one."""
        assert self.on_rung is not None
        with self.setup.lock.shared(), seeded(phase_seed(self.seed, self.fold, "rung", epoch)) as generator:
            here = carried.with_model(copy.deepcopy(carried.model))
            here = self._sparse_at_once(here, generator)
            here = self._quantized(here, learned=False)
            model = self._normalized(here.model)
            metrics = evaluate(model, self.setup.task, self.loaders["validation"], self.setup.device)
        self.on_rung(epoch, metrics)

    def _report(self, rungs: tuple[int, ...], carried: ModelState | None) -> None:
        for epoch in rungs:
            if carried is not None:
                self._rung(epoch, carried)

    # -- sparsifying and quantizing -------------------------------------------------------------------------------

    def _score(self, generator: torch.Generator) -> Callable[[nn.Module], Mapping[str, torch.Tensor]]:
        _, parameters = method_of(self.config["sparsity"])
        criterion = method_of(parameters["criterion"])
        seed = generator.initial_seed()

        def score(model: nn.Module) -> Mapping[str, torch.Tensor]:
            training = model.training
            scores = score_weights(model, self.setup, *criterion, seed=seed, fold=self.fold)
            model.train(training)
            return scores

        return score

    def _sparse_at_once(self, carried: ModelState, generator: torch.Generator) -> ModelState:
        carried = factor(drop(carried, self.levels, self.setup), self.levels)
        if self.levels.channels:
            seed = generator.initial_seed()
            carried = remove_to(carried, self.config, self.levels, self.setup, self.fold, 1.0, seed)
        if self.levels.retained:
            masker = Masker(self.config, self.levels, self._score(generator))
            masker.attach(carried.model)
            masker.update(carried.model, 1.0)
        return carried

    def _sparsify(self, phase: Phase, carried: ModelState, generator: torch.Generator) -> ModelState:
        epochs = int(phase.settings["epochs"])
        if epochs == 0:
            with self.setup.lock.shared():
                return self._sparse_at_once(carried, generator)
        with self.setup.lock.shared():
            carried = factor(drop(carried, self.levels, self.setup), self.levels)
        if self.levels.channels:
            return self._remove_while_training(phase, carried, epochs, generator)
        extra: tuple[Any, ...] = ()
        if self.levels.retained:
            extra = (Masker(self.config, self.levels, self._score(generator)),)
        run = self._run(phase.settings, carried, epochs, FINETUNE_RATE, generator, extra)
        curve = self._fit(run, phase, range(epochs))
        return carried.with_model(run.finish(), curve=(*carried.curve, *curve))

    def _remove_while_training(
        self, phase: Phase, carried: ModelState, epochs: int, generator: torch.Generator
    ) -> ModelState:
        """Remove channels between epochs, as far as the schedule says; each removal starts a fresh optimizer."""
        schedule = create("structure", *method_of(self.config["sparsity"])).schedule
        curve: list[float] = []
        seed = generator.initial_seed()
        run: Run | None = None
        for epoch in range(epochs):
            fraction = 1.0 if epoch == epochs - 1 else schedule.fraction(epoch / epochs)
            before = carried.removed
            with self.setup.lock.shared():
                carried = remove_to(carried, self.config, self.levels, self.setup, self.fold, fraction, seed)
            if run is None or carried.removed != before:
                if run is not None:
                    run.finish()
                run = self._run(phase.settings, carried, epochs, FINETUNE_RATE, generator)
                run.state.step = epoch * run.state.steps_per_epoch
            curve += self._fit(run, phase, range(epoch, epoch + 1))
        if run is not None:
            run.finish()
        return carried.with_model(carried.model, curve=(*carried.curve, *curve))

    def _quantized(self, carried: ModelState, *, learned: bool) -> ModelState:
        bits = (*self.levels.weight_bits.values(), *self.levels.activation_bits.values())
        if all(b >= 32 for b in bits):
            return carried
        return quantize(carried, self.config, self.levels, self.setup, self.fold, learned=learned)

    def _quantize(self, phase: Phase, carried: ModelState, generator: torch.Generator) -> ModelState:
        epochs = int(phase.settings["epochs"])
        with self.setup.lock.shared():
            if epochs == 0:
                model = self._normalized(carried.model)  # ranges are calibrated on the network as it will be scored
                return self._quantized(carried.with_model(model), learned=False)
            carried = self._quantized(carried, learned=True)
        run = self._run(phase.settings, carried, epochs, QAT_RATE, generator)
        curve = self._fit(run, phase, range(epochs))
        return carried.with_model(run.finish(), curve=(*carried.curve, *curve))

    def _normalized(self, model: nn.Module) -> nn.Module:
        with seeded(phase_seed(self.seed, self.fold, "repair")):
            seed_loaders(self.loaders["train"], phase_seed(self.seed, self.fold, "repair"))
            return re_estimate(model, self.setup.task, self.loaders["train"], self.setup.device)


def _resolved(config: Mapping[str, Any], levels: Levels) -> dict[str, Any]:
    """The levels that phases are keyed by, beside what the recipe says: those that rules were resolved to."""
    names = ["dropped", "channels", "ranks", "retained"]
    if method_of(config["quantization"]["weights"]["allocation"])[0] != "uniform":
        names.append("weight_bits")
    return {name: levels.to_dict()[name] for name in names}
