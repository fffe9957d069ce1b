"""Recipes carried out through the package's own phases, with everything that they have in common kept in memory.

The results are those of `autoreg.trial.objective.TaskObjective`; only less is done twice. Of a training run every
epoch is kept, so that each recipe gets a learning curve with one step an epoch.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.nn.utils import parametrize

from autoreg.plan import Phase
from autoreg.space.recipe import canonical_json
from autoreg.trial.chain import Chain
from autoreg.trial.loop import NonFiniteLossError, evaluate, phase_seed, seeded
from autoreg.trial.model_state import ModelState, baked_copy
from autoreg.trial.reference import Reference
from autoreg.trial.setup import Setup

KEY_DIGITS = 12


@dataclass
class Kept:
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
        self.__dict__.update(vars(Kept(models, seconds)))


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
    """A chain that takes what it can from `kept`, and leaves there what it had to do."""

    def __init__(
        self, setup: Setup, reference: Reference, config: Mapping[str, Any], *, seed: int, fold: str, kept: Kept
    ) -> None:
        super().__init__(setup, reference, config, seed=seed, fold=fold)
        self.kept = kept
        self.own = [phase for phase in self.phases if phase.name in ("train", "tune")][-1]
        levels = self.levels.to_dict()
        structure = [config["sparsity"], config["layers"]["drop"], {**levels, "weight_bits": 0, "activation_bits": 0}]
        self._structure = canonical_json(structure)
        values = {name: part for name, part in config["quantization"].items() if name != "quantizer"}
        self._compressed = canonical_json([config["sparsity"], config["layers"]["drop"], levels, values])

    def found(self) -> Found:
        """Carry the recipe out."""
        quality = self.setup.task.quality
        try:
            carried = self._start()
            for phase in self.phases[:-1]:
                carried = self._phase(phase, carried)
            begun = time.process_time()
            model, validation = self._scored(carried)
            self.kept.seconds[self.phases[-1].key] = time.process_time() - begun
            test = evaluate(model, self.setup.task, self.loaders["test"], self.setup.device)[quality]
            rungs = [self._rung_error(epoch) for epoch in range(1, int(self.own.settings["epochs"]) + 1)]
        except NonFiniteLossError:
            chance, steps = self.setup.task.chance, int(self.own.settings["epochs"]) + 1
            return Found(chance, chance, [chance] * steps, self._paid(), 0.0, diverged=True)
        curve = [*(error for error, _ in rungs), validation]
        return Found(validation, test, curve, self._paid(), round(sum(seconds for _, seconds in rungs), 4))

    def _paid(self) -> list[tuple[str, float, float]]:
        """Key, weighted epochs and seconds of every phase; phases that were not reached took none."""
        seconds = [round(self.kept.seconds.get(phase.key, 0.0), 4) for phase in self.phases]
        return [(p.key[:KEY_DIGITS], float(p.epochs), took) for p, took in zip(self.phases, seconds, strict=True)]

    def _phase(self, phase: Phase, carried: ModelState) -> ModelState:
        kept = self.kept
        if phase.key not in kept.models:
            if phase.key in kept.diverged:
                raise NonFiniteLossError(f"{phase.name} diverged")
            begun = time.process_time()
            try:
                done = self._work(phase, carried)
            except NonFiniteLossError:
                kept.diverged.add(phase.key)
                raise
            finally:
                kept.seconds[phase.key] = time.process_time() - begun
            if phase.name == "quantize":
                return done
            kept.models[phase.key] = done
        return _copy(kept.models[phase.key])

    def _scored(self, carried: ModelState) -> tuple[nn.Module, float]:
        """The model re-normalized, in place since nobody else has it, and its validation error."""
        task, model = self.setup.task, carried.model
        model.__deepcopy__ = lambda memo: model  # type: ignore[assignment]  # copying quantizers is half the time
        with parametrize.cached():  # weights stand still here
            model = self._normalized(model)
            metrics = evaluate(model, task, self.loaders["validation"], self.setup.device)
        del model.__deepcopy__
        return model, metrics[task.quality]

    def _train(self, phase: Phase, carried: ModelState, generator: torch.Generator) -> ModelState:
        settings, count = phase.settings, int(phase.settings["epochs"])
        carried = self._select(settings, carried)
        run = self._run(settings, carried, count, 1.0, generator)
        curve: list[float] = []
        for epoch in range(count):
            curve += self._fit(run, phase, range(epoch, epoch + 1))
            if phase.key == self.own.key and epoch + 1 < count:
                self.kept.epochs[phase.key, epoch + 1] = carried.with_model(baked_copy(run.state.model))
        done = carried.with_model(run.finish(), curve=(*carried.curve, *curve))
        if phase.key == self.own.key:
            self.kept.epochs[phase.key, count] = _copy(done)
        return done

    def _rung_error(self, epoch: int) -> tuple[float, float]:
        """Error of the compressed copy after an epoch of training, as `Chain._rung` scores it, and its seconds."""
        key, part = (self.own.key, epoch, self._compressed), (self.own.key, epoch, self._structure)
        if key not in self.kept.rungs:
            with seeded(phase_seed(self.seed, self.fold, "rung", epoch)) as generator:
                if part not in self.kept.sparse:
                    begun = time.process_time()
                    sparse = self._sparse_at_once(_copy(self.kept.epochs[self.own.key, epoch]), generator)
                    sparse = sparse.with_model(baked_copy(sparse.model))
                    self.kept.sparse[part] = sparse, time.process_time() - begun
                sparse, shared = self.kept.sparse[part]
                begun = time.process_time()
                _, error = self._scored(self._quantized(_copy(sparse), learned=False))
            self.kept.rungs[key] = error, shared + time.process_time() - begun
        return self.kept.rungs[key]


def _copy(carried: ModelState) -> ModelState:
    return carried.with_model(copy.deepcopy(carried.model))
