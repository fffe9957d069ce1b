"""The phases that compress: sparsifying and quantizing, at once or while training goes on."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import nn

from autoreg.methods.sparsity.structures.structure import Structure, Target
from autoreg.plan import Phase
from autoreg.trial.calibration import score_weights
from autoreg.trial.compress import drop, quantize
from autoreg.trial.context import PhaseContext
from autoreg.trial.model_state import ModelState
from autoreg.trial.run import Run
from autoreg.trial.training_phase import finished_model, make_run, train_epochs

FINETUNE_RATE = 0.3  # of the training rate: weights that are already good, and a schedule of its own
QAT_RATE = 0.1  # of the training rate: quantization-aware training moves weights little


def sparsify_phase(context: PhaseContext, phase: Phase, state: ModelState, generator: torch.Generator) -> ModelState:
    """Drop, factorize, mask or remove, and fine-tune for as long as the phase says."""
    epochs = int(phase.settings["epochs"])
    if epochs == 0:
        with context.setup.lock.shared():
            return sparsify_at_once(context, state, generator)
    with context.setup.lock.shared():
        state = drop(state, context.levels, context.setup)
    structure = context.recipe.structure
    if structure is not None and structure.changes_shape:
        return _reshape_while_training(context, structure, phase, state, generator)
    extra = () if structure is None else structure.hooks(_target(context, structure, generator))
    run = make_run(context, phase.settings, state, epochs, generator, rate=FINETUNE_RATE, extra=extra)
    losses = train_epochs(context, run, phase, range(epochs))
    return state.with_model(finished_model(context, run), train_losses=(*state.train_losses, *losses))


def quantize_phase(context: PhaseContext, phase: Phase, state: ModelState, generator: torch.Generator) -> ModelState:
    """Attach calibrated quantizers, and train with them for as long as the phase says."""
    epochs = int(phase.settings["epochs"])
    with context.setup.lock.shared():
        if epochs == 0:
            return quantize_at_once(context, state)
        state = _quantized(context, state, trained=True)
    run = make_run(context, phase.settings, state, epochs, generator, rate=QAT_RATE)
    losses = train_epochs(context, run, phase, range(epochs))
    return state.with_model(finished_model(context, run), train_losses=(*state.train_losses, *losses))


def compressed_copy(context: PhaseContext, state: ModelState, generator: torch.Generator) -> ModelState:
    """A copy at the recipe's levels without any training: what a rung scores."""
    state = state.with_model(copy.deepcopy(state.model))
    return quantize_at_once(context, sparsify_at_once(context, state, generator))


def sparsify_at_once(context: PhaseContext, state: ModelState, generator: torch.Generator) -> ModelState:
    """Bring a network to its levels of structure in one step; it is changed in place."""
    state = drop(state, context.levels, context.setup)
    structure = context.recipe.structure
    return state if structure is None else structure.apply(state, _target(context, structure, generator))


def quantize_at_once(context: PhaseContext, state: ModelState) -> ModelState:
    """Quantize a network without training; ranges are calibrated on it as it will be scored: re-normalized first."""
    if not _is_quantized(context):
        return state
    return _quantized(context, state.with_model(context.normalized(state.model)), trained=False)


def _is_quantized(context: PhaseContext) -> bool:
    levels = context.levels
    return any(bits < 32 for bits in (*levels.weight_bits.values(), *levels.activation_bits.values()))


def _quantized(context: PhaseContext, state: ModelState, *, trained: bool) -> ModelState:
    if not _is_quantized(context):
        return state
    return quantize(state, context.recipe.quantization, context.levels, context.setup, context.fold, trained=trained)


def _target(context: PhaseContext, structure: Structure, generator: torch.Generator) -> Target:
    """Where a structure brings a network, and what scores its weights on the way."""
    setup, seed = context.setup, generator.initial_seed()

    def score(model: nn.Module) -> Mapping[str, torch.Tensor]:
        training = model.training
        scores = score_weights(model, setup, structure.criterion, seed=seed, fold=context.fold)
        model.train(training)
        return scores

    return Target(context.levels, setup.profile, setup.example_input, score)


def _reshape_while_training(
    context: PhaseContext, structure: Structure, phase: Phase, state: ModelState, generator: torch.Generator
) -> ModelState:
    """Remove or replace layers between epochs, as far as the schedule says; each change starts a fresh optimizer."""
    epochs, target = int(phase.settings["epochs"]), _target(context, structure, generator)
    losses: list[float] = []
    run: Run | None = None
    for epoch in range(epochs):
        fraction = 1.0 if epoch == epochs - 1 else structure.fraction(epoch / epochs)
        with context.setup.lock.shared():
            reshaped = structure.apply(state, target, fraction)
        if run is None or reshaped is not state:
            if run is not None:
                run.finish(averaged=False)  # training goes on from what was trained
            run = make_run(context, phase.settings, reshaped, epochs, generator, rate=FINETUNE_RATE)
            run.state.step = epoch * run.state.steps_per_epoch
        state = reshaped
        losses += train_epochs(context, run, phase, range(epoch, epoch + 1))
    assert run is not None  # there is at least one epoch
    return state.with_model(finished_model(context, run), train_losses=(*state.train_losses, *losses))
