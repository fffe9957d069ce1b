"""Recipes carried out through the package's own phases, with everything that they have in common held in memory.

The results are those of `autoreg.trial.objective.TaskObjective`; only less is done twice. Of a training run every
epoch is held, so that each recipe gets a learning curve with one step an epoch.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn
from torch.nn.utils import parametrize

from autoreg.plan import TRAINING_PHASES, Phase
from autoreg.space.recipe import canonical_json
from autoreg.trial.chain import Chain
from autoreg.trial.compression_phases import quantize_at_once, sparsify_at_once
from autoreg.trial.loop import NonFiniteLossError, evaluate
from autoreg.trial.model_state import ModelState, baked_copy
from autoreg.trial.reference import Reference
from autoreg.trial.setup import Setup
from autoreg.trial.training_phase import TrainPhase

KEY_DIGITS = 12


@dataclass
class PhaseMemory:
    """What the recipes of one column share: models that nobody changes, and figures.

    Attributes:
        models: by key of the phase that made them; not those of the last phase, which nobody continues.
        seconds: of a processor, for each phase.
        diverged: keys of phases in which the loss became infinite.
        epochs: models in the midst of training, by key of the phase and epoch.
        sparse: the same, sparse and baked, by the structure too, and seconds that this took.
        rungs: error and seconds, by phase, epoch, structure and bits.
    """

    models: dict[str, ModelState] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    diverged: set[str] = field(default_factory=set)
    epochs: dict[tuple[str, int], ModelState] = field(default_factory=dict)
    sparse: dict[tuple[str, int, str], tuple[ModelState, float]] = field(default_factory=dict)
    rungs: dict[tuple[str, int, str], tuple[float, float]] = field(default_factory=dict)

    def clear(self, but: str = "") -> None:
        """Forget everything but the phase of one key."""
        models = {key: value for key, value in self.models.items() if key == but}
        seconds = {key: value for key, value in self.seconds.items() if key == but}
        self.__dict__.update(vars(PhaseMemory(models, seconds)))


@dataclass(frozen=True)
class Found:
    """What is recorded of a recipe on one column.

    Attributes:
        validation: error of the finished model.
        test: the same on the test sets (their mean).
        curve: error of a compressed, re-normalized copy after each epoch of its own training (the last training
            phase), and at the end `validation`.
        phases: key, weighted epochs and seconds of each phase in order, scoring last.
        rung_seconds: of all steps of the curve but the last.
        diverged: whether a loss became infinite; errors are then those of chance.
    """

    validation: float
    test: float
    curve: list[float]
    phases: list[tuple[str, float, float]]
    rung_seconds: float
    diverged: bool = False


class SharingChain(Chain):
    """A chain that takes what it can from `memory`, and leaves there what it had to do."""

    def __init__(
        self,
        setup: Setup,
        reference: Reference,
        config: Mapping[str, Any],
        *,
        seed: int,
        fold: str,
        memory: PhaseMemory,
    ) -> None:
        super().__init__(setup, reference, config, seed=seed, fold=fold)
        self.memory = memory
        self.own = [phase for phase in self.phases if phase.name in TRAINING_PHASES][-1]
        levels = self.levels.to_dict()
        structure = [config["sparsity"], config["layers"]["drop"], {**levels, "weight_bits": 0, "activation_bits": 0}]
        self._structure = canonical_json(structure)
        values = {name: part for name, part in config["quantization"].items() if name != "quantizer"}
        self._compressed = canonical_json([config["sparsity"], config["layers"]["drop"], levels, values])

    def found(self) -> Found:
        """Carry the recipe out."""
        quality = self.setup.task.quality
        try:
            state = self.initial_state()
            for phase in self.phases[:-1]:
                state = self.state_after(phase, state)
            begun = time.process_time()
            model, validation = self._scored(state)
            self.memory.seconds[self.phases[-1].key] = time.process_time() - begun
            test = evaluate(model, self.setup.task, self.context.loaders["test"], self.setup.device)[quality]
            rungs = [self._rung_error(epoch) for epoch in range(1, int(self.own.settings["epochs"]) + 1)]
        except NonFiniteLossError:
            chance, steps = self.setup.task.chance, int(self.own.settings["epochs"]) + 1
            return Found(chance, chance, [chance] * steps, self._phases_run(), 0.0, diverged=True)
        curve = [*(error for error, _ in rungs), validation]
        return Found(validation, test, curve, self._phases_run(), round(sum(seconds for _, seconds in rungs), 4))

    def _phases_run(self) -> list[tuple[str, float, float]]:
        """Key, weighted epochs and seconds of every phase; phases that were not reached took none."""
        seconds = [round(self.memory.seconds.get(phase.key, 0.0), 4) for phase in self.phases]
        return [(p.key[:KEY_DIGITS], float(p.epochs), took) for p, took in zip(self.phases, seconds, strict=True)]

    def state_after(self, phase: Phase, state: ModelState) -> ModelState:
        """The network after a phase, computed once for all recipes that share it."""
        memory = self.memory
        if phase.key not in memory.models:
            if phase.key in memory.diverged:
                raise NonFiniteLossError(f"{phase.name} diverged")
            begun = time.process_time()
            try:
                done = self._train(phase, state) if phase.name in TRAINING_PHASES else self.compute(phase, state)
            except NonFiniteLossError:
                memory.diverged.add(phase.key)
                raise
            finally:
                memory.seconds[phase.key] = time.process_time() - begun
            if phase.name == "quantize":
                return done
            memory.models[phase.key] = done
        return _copy(memory.models[phase.key])

    def _scored(self, state: ModelState) -> tuple[nn.Module, float]:
        """The model re-normalized, in place since nobody else has it, and its validation error."""
        task, model = self.setup.task, state.model
        model.__deepcopy__ = lambda memo: model  # type: ignore[assignment]  # copying quantizers is half the time
        with parametrize.cached():  # weights stand still here
            model = self.context.normalized(model)
            metrics = evaluate(model, task, self.context.loaders["validation"], self.setup.device)
        del model.__deepcopy__
        return model, metrics[task.quality]

    def _train(self, phase: Phase, state: ModelState) -> ModelState:
        """A training phase; of the recipe's own, the network after every epoch is memory."""
        with self.context.seeded(phase.name) as generator:
            training = TrainPhase(self.context, phase, state, generator, self.store)
            own = phase.key == self.own.key
            for epoch in range(1, training.epochs if own else 1):
                self.memory.epochs[phase.key, epoch] = training.advance(epoch)
            done = training.advance(training.epochs)
        if own:
            self.memory.epochs[phase.key, training.epochs] = _copy(done)
        return done

    def _rung_error(self, epoch: int) -> tuple[float, float]:
        """Error of the compressed copy after an epoch of training, as a chain scores it at a rung, and its seconds."""
        key, part = (self.own.key, epoch, self._compressed), (self.own.key, epoch, self._structure)
        if key not in self.memory.rungs:
            with self.context.seeded("rung", epoch) as generator:
                if part not in self.memory.sparse:
                    begun = time.process_time()
                    epochs = self.memory.epochs
                    sparse = sparsify_at_once(self.context, _copy(epochs[self.own.key, epoch]), generator)
                    sparse = sparse.with_model(baked_copy(sparse.model))
                    self.memory.sparse[part] = sparse, time.process_time() - begun
                sparse, shared = self.memory.sparse[part]
                begun = time.process_time()
                _, error = self._scored(quantize_at_once(self.context, _copy(sparse)))
            self.memory.rungs[key] = error, shared + time.process_time() - begun
        return self.memory.rungs[key]


def _copy(state: ModelState) -> ModelState:
    return state.with_model(copy.deepcopy(state.model))
