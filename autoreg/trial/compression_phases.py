"""The phases that compress: sparsifying and quantizing, at once or while training goes on."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from autoreg.methods import create
from autoreg.plan import Phase, method_of
from autoreg.trial.compress import Masker, drop, factor, quantize, remove_to
from autoreg.trial.context import PhaseContext
from autoreg.trial.model_state import ModelState
from autoreg.trial.reference import score_weights
from autoreg.trial.run import Run
from autoreg.trial.training_phase import make_run, train_epochs

FINETUNE_RATE = 0.3  # of the training rate: weights that are already good, and a schedule of its own
QAT_RATE = 0.1  # of the training rate: quantization-aware training moves weights little


def sparsify_phase(context: PhaseContext, phase: Phase, state: ModelState, generator: torch.Generator) -> ModelState:
    """Drop, factorize, mask or remove, and fine-tune for as long as the phase says."""
    epochs = int(phase.settings["epochs"])
    if epochs == 0:
        with context.setup.lock.shared():
            return sparsify_at_once(context, state, generator)
    with context.setup.lock.shared():
        state = factor(drop(state, context.levels, context.setup), context.levels)
    if context.levels.channels:
        return _remove_while_training(context, phase, state, generator)
    extra: tuple[Any, ...] = ()
    if context.levels.retained:
        extra = (Masker(context.config, context.levels, _scorer(context, generator)),)
    run = make_run(context, phase.settings, state, epochs, generator, rate=FINETUNE_RATE, extra=extra)
    losses = train_epochs(context, run, phase, range(epochs))
    return state.with_model(run.finish(), curve=(*state.curve, *losses))


def quantize_phase(context: PhaseContext, phase: Phase, state: ModelState, generator: torch.Generator) -> ModelState:
    """Attach calibrated quantizers, and train with them for as long as the phase says."""
    epochs = int(phase.settings["epochs"])
    with context.setup.lock.shared():
        if epochs == 0:
            return quantize_at_once(context, state)
        state = _quantized(context, state, learned=True)
    run = make_run(context, phase.settings, state, epochs, generator, rate=QAT_RATE)
    losses = train_epochs(context, run, phase, range(epochs))
    return state.with_model(run.finish(), curve=(*state.curve, *losses))


def compressed_copy(context: PhaseContext, state: ModelState, generator: torch.Generator) -> ModelState:
    """A copy at the recipe's levels without any training: what a rung scores."""
    state = state.with_model(copy.deepcopy(state.model))
    return quantize_at_once(context, sparsify_at_once(context, state, generator))


def sparsify_at_once(context: PhaseContext, state: ModelState, generator: torch.Generator) -> ModelState:
    """Bring a network to its levels of structure in one step; it is changed in place."""
    levels = context.levels
    state = factor(drop(state, levels, context.setup), levels)
    if levels.channels:
        seed = generator.initial_seed()
        state = remove_to(state, context.config, levels, context.setup, context.fold, 1.0, seed)
    if levels.retained:
        masker = Masker(context.config, levels, _scorer(context, generator))
        masker.attach(state.model)
        masker.update(state.model, 1.0)
    return state


def quantize_at_once(context: PhaseContext, state: ModelState) -> ModelState:
    """Quantize a network without training; ranges are calibrated on it as it will be scored: re-normalized first."""
    if not _is_quantized(context):
        return state
    return _quantized(context, state.with_model(context.normalized(state.model)), learned=False)


def _is_quantized(context: PhaseContext) -> bool:
    levels = context.levels
    return any(bits < 32 for bits in (*levels.weight_bits.values(), *levels.activation_bits.values()))


def _quantized(context: PhaseContext, state: ModelState, *, learned: bool) -> ModelState:
    if not _is_quantized(context):
        return state
    return quantize(state, context.config, context.levels, context.setup, context.fold, learned=learned)


def _scorer(context: PhaseContext, generator: torch.Generator) -> Callable[[nn.Module], Mapping[str, torch.Tensor]]:
    """What scores the weights of a model by the recipe's criterion."""
    _, parameters = method_of(context.config["sparsity"])
    criterion = method_of(parameters["criterion"])
    seed = generator.initial_seed()

    def score(model: nn.Module) -> Mapping[str, torch.Tensor]:
        training = model.training
        scores = score_weights(model, context.setup, *criterion, seed=seed, fold=context.fold)
        model.train(training)
        return scores

    return score


def _remove_while_training(
    context: PhaseContext, phase: Phase, state: ModelState, generator: torch.Generator
) -> ModelState:
    """Remove channels between epochs, as far as the schedule says; each removal starts a fresh optimizer."""
    schedule = create("structure", *method_of(context.config["sparsity"])).schedule
    epochs, seed = int(phase.settings["epochs"]), generator.initial_seed()
    losses: list[float] = []
    run: Run | None = None
    for epoch in range(epochs):
        fraction = 1.0 if epoch == epochs - 1 else schedule.fraction(epoch / epochs)
        before = state.removed
        with context.setup.lock.shared():
            state = remove_to(state, context.config, context.levels, context.setup, context.fold, fraction, seed)
        if run is None or state.removed != before:
            if run is not None:
                run.finish()
            run = make_run(context, phase.settings, state, epochs, generator, rate=FINETUNE_RATE)
            run.state.step = epoch * run.state.steps_per_epoch
        losses += train_epochs(context, run, phase, range(epoch, epoch + 1))
    if run is not None:
        run.finish()
    return state.with_model(state.model, curve=(*state.curve, *losses))
