"""One recipe taken through its phases on one fold; every finished phase is taken from the store or left there."""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from autoreg.artifacts.verify import record
from autoreg.costs.levels import Levels
from autoreg.errors import InputError
from autoreg.methods.bound import BoundRecipe, bind
from autoreg.plan import (
    TEACHER,
    TRAINING_PHASES,
    Phase,
    compile_plan,
    content_hash,
    parts_done,
    teacher_members,
    total_epochs,
)
from autoreg.training_length import rung_epochs
from autoreg.trial.compression_phases import compressed_copy, quantize_phase, sparsify_phase
from autoreg.trial.context import PhaseContext, Work
from autoreg.trial.inherit import narrow_phase
from autoreg.trial.loop import evaluate, phase_seed
from autoreg.trial.model_state import ModelState
from autoreg.trial.narrow import network_record, reference_for
from autoreg.trial.phase_store import PhaseStore, snapshot_key
from autoreg.trial.reference import Reference
from autoreg.trial.resolve import resolve
from autoreg.trial.setup import Setup
from autoreg.trial.teacher import DenseTeacher
from autoreg.trial.training_phase import TrainPhase

NARROWING_PHASE = "narrow"
OWN_PHASES = (*TRAINING_PHASES, NARROWING_PHASE)
COMPRESSION_PHASES = {"sparsify": sparsify_phase, "quantize": quantize_phase}

OnRung = Callable[[int, Mapping[str, float]], None]


@dataclass(frozen=True)
class ChainResult:
    """A network at the end of its chain.

    Attributes:
        state: the network as the last phase left it, with the record of what was done to it.
        model: a re-normalized copy, which was scored.
        metrics: of `model`, on the validation split.
        levels: of the recipe.
        work: what the chain took.
        outputs: first outputs of `model`, for files to be compared with; None where they hold no logits.
        uncompressed: metrics of the same network when it was trained and nothing had been taken from it yet; None
            where nothing ever was.
    """

    state: ModelState
    model: nn.Module
    metrics: Mapping[str, float]
    levels: Levels
    work: Work
    outputs: torch.Tensor | None = None
    uncompressed: Mapping[str, float] | None = None


class Chain:
    """Takes one recipe through its phases.

    Args:
        setup: task, stores, machine.
        reference: the dense reference that levels are resolved on; of the whole network.
        config: a complete recipe.
        seed: the trial's seed.
        fold: the fold that is trained and scored.
        on_rung: called with (epoch, metrics of a compressed copy) at the rungs of training; may raise to stop.
        snapshots: whether trainings leave their networks at the rungs in the store, for trials that report there.

    Attributes:
        phases: of the recipe, in order of work.
        finished: how many of them are done, by this chain or by another before it.
        trained_epochs: of the phase that reports rungs, how many are done.
        context: what the phases share; `context.work` is what they took.
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
        snapshots: bool = False,
    ) -> None:
        recipe = bind(config)
        own = reference_for(recipe, reference)
        setup = setup if own is reference else own.setup
        self.setup, self.config, self.on_rung, self.snapshots = setup, config, on_rung, snapshots
        self.levels = resolve(recipe, setup, own)
        self._teacher_seeds = setup.teacher_seeds(teacher_members(config))
        self.phases = compile_plan(
            config,
            setup.registry,
            base=setup.base,
            seed=seed,
            fold=fold,
            dense=setup.dense,
            resolved={**_resolved(recipe, self.levels), "network": network_record(recipe, setup)},
            pretrained_digest=setup.pretrained_digest,
            teacher_seeds=self._teacher_seeds,
        )
        self.finished = self.trained_epochs = 0
        work = Work(epochs_requested=total_epochs(self.phases))
        teachers = [phase for phase in self.phases if phase.name == TEACHER]
        self._teacher = DenseTeacher(setup.whole, fold, teachers, self._train_teachers) if teachers else None
        self.context = PhaseContext(setup, recipe, self.levels, seed, fold, work, self._teacher)
        self.store = PhaseStore(setup)
        self._whole_store = PhaseStore(setup.whole)

    def run(self) -> ChainResult:
        """Take the recipe through all its phases and score it on the validation split."""
        state = self.initial_state()
        uncompressed: Mapping[str, float] | None = None
        for phase, following in itertools.pairwise(self.phases):  # the last one is to measure
            state = self.state_after(phase, state)
            if phase.name in OWN_PHASES and following.name in COMPRESSION_PHASES:
                uncompressed = self._uncompressed_metrics(phase, state)
        outputs: list[Any] = []
        model, metrics = self._measure(state, outputs)
        first = self._store_outputs(outputs)
        return ChainResult(state, model, metrics, self.levels, self.context.work, first, uncompressed)

    def trained(self) -> ModelState:
        """Take the recipe through its training phases only."""
        state = self.initial_state()
        for phase in self.phases:
            if phase.name in OWN_PHASES:
                state = self.state_after(phase, state)
        return state

    def stored_outputs(self) -> torch.Tensor | None:
        """The outputs that an earlier run of this chain left in the store, None where there are none."""
        return self.store.outputs(self.phases[-1].key)

    def initial_state(self) -> ModelState:
        """The network before the first phase: initialized by the seed, or with the weights that the task brings."""
        pretrained = self.context.recipe.starts_trained
        setup = self.setup.whole if pretrained else self.setup
        model = setup.fresh_model(phase_seed(self.context.seed, "init"))
        if setup.given_weights is not None and pretrained:
            model.load_state_dict(dict(setup.given_weights))
        return ModelState(model.to(self.setup.device))

    def state_after(self, phase: Phase, state: ModelState) -> ModelState:
        """The network after a phase: from the store, or computed from the one before it and left there.

        A teacher's training leaves the network as it is; it is carried out when a phase that learns from it begins.
        """
        if phase.name == TEACHER:
            self.finished += 1
            return state
        if self._has_rungs(phase):
            return self._train_to_rungs(phase, state)
        store = self._store_of(phase)
        found = store.network(phase.key)
        if found is None:
            self._prepare_teacher(phase)
            with store.computing(_lock_key(phase)):
                found = store.network(phase.key)  # another process may have been first
                if found is None:
                    found = self.compute(phase, state)
                    store.put_network(phase.key, found)
        self.finished += 1
        return found

    def compute(self, phase: Phase, state: ModelState) -> ModelState:
        """Carry a phase out."""
        work = self.context.work.timed(phase.name)
        with work, self.context.seeded(phase.name) as generator:
            if phase.name == NARROWING_PHASE:
                return narrow_phase(self.context, phase, state, generator)
            if phase.name in COMPRESSION_PHASES:
                return COMPRESSION_PHASES[phase.name](self.context, phase, state, generator)
            store = self._store_of(phase)
            training = TrainPhase(self.context, phase, state, generator, store)
            for epoch in rung_epochs(phase.settings)[:-1] if self.snapshots else ():
                store.put_network(snapshot_key(phase, epoch), training.advance(epoch))
            return training.advance(training.epochs)

    def parts_done(self) -> list[float]:
        """Of each part of each phase, as in `autoreg.plan.phase_costs`, whether it is done (1) or not (0)."""
        found: list[float] = []
        for index, phase in enumerate(self.phases):
            epochs = self.trained_epochs if index == self.finished else 0  # of the phase that it was stopped in
            found += parts_done(phase, epochs, index < self.finished)
        return found

    # -- teachers -------------------------------------------------------------------------------------------------

    def _prepare_teacher(self, phase: Phase) -> None:
        """Make the teacher of a phase ready; before the right to compute the phase is held, since it holds others."""
        if self._teacher is not None and "taught_by" in phase.settings:
            with self.context.work.timed(TEACHER):
                self._teacher.prepare()

    def _train_teachers(self) -> list[nn.Module]:
        """The dense networks that the teacher is the mean of, trained on the training data of this fold or stored."""
        setup, networks = self.setup.whole, list[nn.Module]()
        own = [phase.settings.get(TEACHER) for phase in self.phases if phase.name == TEACHER]
        for taught, seed in itertools.zip_longest(own, self._teacher_seeds, fillvalue=self._teacher_seeds[0]):
            reference = Reference(setup, lambda: setup.skeleton())  # never asked: the dense recipe removes nothing
            recipe = setup.dense if taught is None else setup.complete({**setup.dense, TEACHER: taught})
            chain = Chain(setup, reference, recipe, seed=seed, fold=self.context.fold)
            networks.append(chain.trained().model)
            self.context.work.epochs_run += chain.context.work.epochs_run
        return networks

    # -- rungs ----------------------------------------------------------------------------------------------------

    def _has_rungs(self, phase: Phase) -> bool:
        """Whether this phase reports rungs: the recipe's last training does, unless it is the dense network's own."""
        own = [p for p in self.phases if p.name in TRAINING_PHASES]
        if self.on_rung is None or not own or phase.key != own[-1].key:
            return False
        return not self._is_dense_training(phase) and bool(rung_epochs(phase.settings))

    def _is_dense_training(self, phase: Phase) -> bool:
        """Whether a phase is the training of the whole network that a recipe with trained weights starts from."""
        return phase.name == "train" and self.context.recipe.starts_trained

    def _store_of(self, phase: Phase) -> PhaseStore:
        """Where the network of a phase is: that of the dense training is the whole one, whatever it is cut to later."""
        return self._whole_store if self._is_dense_training(phase) else self.store

    def _train_to_rungs(self, phase: Phase, state: ModelState) -> ModelState:
        """Train from rung to rung, and report how a compressed copy does at each.

        What another trial left at a rung is taken from the store: then this one trains only if it gets further. The
        right to compute the phase is held while this trial trains and scores, and never while its report waits.
        """
        assert self.on_rung is not None
        total = int(phase.settings["epochs"])
        training: TrainPhase | None = None
        with contextlib.ExitStack() as stack:  # the randomness of a training lasts from rung to rung
            for epoch in rung_epochs(phase.settings):
                key = phase.key if epoch == total else snapshot_key(phase, epoch)
                found = self.store.network(key)
                if found is None and training is None:
                    self._prepare_teacher(phase)
                with contextlib.nullcontext() if found is not None else self.store.computing(_lock_key(phase)):
                    if found is None:
                        found = self.store.network(key)  # another process may have been first
                    if found is None:
                        if training is None:
                            generator = stack.enter_context(self.context.seeded(phase.name))
                            training = TrainPhase(self.context, phase, state, generator, self.store)
                        with self.context.work.timed(phase.name):
                            found = training.advance(epoch)
                        self.store.put_network(key, found)
                    metrics = self._rung_metrics(epoch, found)
                self.trained_epochs = epoch
                if epoch == total:
                    self.finished += 1
                self.on_rung(epoch, metrics)
        assert found is not None  # there is at least one rung, and the last is the end of the phase
        return found

    def _rung_metrics(self, epoch: int, state: ModelState) -> dict[str, float]:
        """Score a compressed, re-normalized copy: the error of the dense network says nothing of the sparse one."""
        with self.setup.lock.shared(), self.context.seeded("rung", epoch) as generator:
            state = compressed_copy(self.context, state, generator)
        return self._measure(state)[1]

    # -- scores ---------------------------------------------------------------------------------------------------

    def _measure(self, state: ModelState, outputs: list[Any] | None = None) -> tuple[nn.Module, dict[str, float]]:
        """A re-normalized copy of a network and its validation metrics; `outputs` gets those of every batch."""
        with self.context.work.timed("measure"), self.setup.lock.shared():
            model = self.context.normalized(state.model)
            validation = self.context.loaders["validation"]
            return model, evaluate(model, self.setup.task, validation, self.setup.device, outputs)

    def _uncompressed_metrics(self, phase: Phase, state: ModelState) -> Mapping[str, float]:
        """Validation metrics of what was trained, before it is compressed; left in the store for all that share it."""
        key = content_hash([phase.key, "uncompressed"])
        stored = self.store.metrics(key)
        if stored is not None:
            return stored
        _, metrics = self._measure(state)
        if all(math.isfinite(value) for value in metrics.values()):
            self.store.put_metrics(key, metrics)
        return metrics

    def _store_outputs(self, outputs: list[Any]) -> torch.Tensor | None:
        """The first outputs, left in the store for files to be compared with; None where there are no logits."""
        try:
            first = record(outputs)
        except InputError:
            return None
        self.store.put_outputs(self.phases[-1].key, first)
        return first


def _lock_key(phase: Phase) -> str:
    """What is held while a phase is computed: trainings that share their beginning wait for each other."""
    return next(iter(phase.trunk.values()), phase.key)


def _resolved(recipe: BoundRecipe, levels: Levels) -> dict[str, Any]:
    """The levels that phases are keyed by, beside what the recipe says: those that rules were resolved to."""
    names = ["dropped", "channels", "ranks", "retained"]
    if recipe.quantization.allocation.needs:
        names.append("weight_bits")
    return {name: levels.to_dict()[name] for name in names}
