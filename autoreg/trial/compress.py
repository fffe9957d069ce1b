"""Sparsifying and quantizing a carried model: which weights, channels and blocks go, and how the rest is held."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from autoreg.costs.formulas import FLOAT_BITS
from autoreg.costs.levels import Levels
from autoreg.methods import create, from_recipe
from autoreg.methods.quantization import Quantization, attach_calibrated, placement
from autoreg.methods.sparsity.counts import retained_count
from autoreg.methods.sparsity.masks import attach_masks, masks
from autoreg.methods.state import State
from autoreg.methods.weights import weighted_layers
from autoreg.network.inputs import call
from autoreg.network.surgery.apply import channel_groups, drop_blocks, remove_channels
from autoreg.network.surgery.factorize import factorize
from autoreg.network.surgery.factors import factor_names
from autoreg.plan import method_of
from autoreg.tasks.batches import to_device
from autoreg.trial.loop import forward
from autoreg.trial.model_state import ModelState, weights_of
from autoreg.trial.reference import calibration_batches, score_weights
from autoreg.trial.resolve import channel_scores
from autoreg.trial.setup import Setup

MASK_UPDATES = 16  # a gradual schedule re-picks its mask so many times on its way


def drop(carried: ModelState, levels: Levels, setup: Setup) -> ModelState:
    """Drop the blocks that the levels name; the model is changed in place."""
    if not levels.dropped or carried.dropped:
        return carried
    drop_blocks(carried.model, levels.dropped, setup.example_input)
    return carried.with_model(carried.model, dropped=tuple(levels.dropped))


def factor(carried: ModelState, levels: Levels) -> ModelState:
    """Put two layers in place of those that the levels give a rank; the model is changed in place.

    Where only some parameters are trained, those of a layer hand that on to its factors.
    """
    if not levels.ranks or carried.ranks:
        return carried
    factorize(carried.model, levels.ranks)
    trained = carried.trained
    if trained is not None:
        names: set[str] = set()
        for parameter in trained:
            layer, _, kind = parameter.rpartition(".")
            first, second = factor_names(layer)
            if layer not in levels.ranks:
                names.add(parameter)
            else:
                names |= {f"{second}.{kind}"} if kind == "bias" else {f"{first}.{kind}", f"{second}.{kind}"}
        trained = tuple(sorted(names))
    return carried.with_model(carried.model, ranks=dict(levels.ranks), trained=trained)


def remove_to(
    carried: ModelState, config: Mapping[str, Any], levels: Levels, setup: Setup, fold: str, fraction: float, seed: int
) -> ModelState:
    """Remove channels until each group has gone `fraction` of the way from its full size to its level.

    The channels of lowest score on the model's own weights go; the model is changed in place.
    """
    _, parameters = method_of(config["sparsity"])
    groups = {g.id: g for g in channel_groups(carried.model, setup.example_input)}
    full = {g.id: g.size for g in setup.profile.channel_groups}
    scores: Mapping[str, torch.Tensor] | None = None
    remove: dict[str, list[int]] = {}
    for name, kept in levels.channels.items():
        size = full[name]
        target = size - round(fraction * (size - kept))
        count = groups[name].size - target
        if count <= 0:
            continue
        if scores is None:
            scores = score_weights(carried.model, setup, *method_of(parameters["criterion"]), seed=seed, fold=fold)
        order = torch.argsort(channel_scores(groups[name], scores), stable=True)
        remove[name] = sorted(int(i) for i in order[:count])
    if not remove:
        return carried
    remove_channels(carried.model, setup.example_input, remove)
    removed = dict(carried.removed)
    for name, indices in remove.items():
        gone = set(removed.get(name, ()))
        left = [i for i in range(full[name]) if i not in gone]
        removed[name] = tuple(sorted(gone | {left[i] for i in indices}))
    return carried.with_model(carried.model, removed=removed)


class Masker:
    """Keeps masks on weights while they are trained, at the level that the schedule has reached.

    A method with hooks like any other: masks are attached when the phase starts, re-picked on the weights
    beneath them while the schedule is on its way, and exact when the phase ends.

    Args:
        config: a complete recipe whose structure keeps masks.
        levels: `kept` gives the number of weights that stay in each layer at the end.
        score: returns the scores of the weights of a model by layer; small ones go.
    """

    def __init__(self, config: Mapping[str, Any], levels: Levels, score: Any) -> None:
        name, parameters = method_of(config["sparsity"])
        self.structure = create("structure", name, parameters)
        self.levels = levels
        self.score = score
        self._done = -1.0
        self._next = 0.0

    def prepare(self, state: State) -> None:
        """Attach masks that keep everything, then take the first step."""
        self.attach(state.model)
        self.update(state.model, self.structure.schedule.fraction(0.0))

    def attach(self, model: nn.Module) -> None:
        """Attach masks that keep everything."""
        weights = weights_of(model)
        attach_masks(model, {name: torch.ones_like(weights[name], dtype=torch.bool) for name in self.levels.retained})

    def after_step(self, state: State) -> None:
        """Re-pick the masks when the schedule has moved on."""
        progress = state.progress
        if progress < self._next:
            return
        self._next = progress + 1.0 / MASK_UPDATES
        self.update(state.model, self.structure.schedule.fraction(progress))

    def finish(self, state: State) -> None:
        """Bring every layer to its exact level."""
        self.update(state.model, 1.0)

    def update(self, model: nn.Module, fraction: float) -> None:
        """Set the masks to `fraction` of the way from dense to the levels."""
        if fraction == self._done or fraction <= 0.0:
            return
        self._done = fraction
        scores = self.score(model)  # weights that are already masked count as zero: they stay masked
        for name, mask in masks(model).items():
            numel, kept = mask.numel(), self.levels.retained[name]
            now = numel - kept_removed(numel, kept, fraction)
            picked = self.structure.mask(scores[name], now)
            mask.copy_(picked)


def kept_removed(numel: int, kept: int, fraction: float) -> int:
    """How many of `numel` weights are gone when `fraction` of the way to `kept` is done.

    >>> kept_removed(100, 20, 0.5), kept_removed(100, 20, 1.0)
    (40, 80)
    """
    if fraction >= 1.0:
        return numel - kept
    return numel - retained_count(numel, fraction * (1 - kept / numel))


def quantize(
    carried: ModelState, config: Mapping[str, Any], levels: Levels, setup: Setup, fold: str, *, learned: bool
) -> ModelState:
    """Attach quantizers at the levels' bits and calibrate the ranges of activations; changes the model in place.

    Values that no calibration batch showed stay in floating point; the record says so.
    """
    levels = levels.spread()
    present = {name for name, _ in weighted_layers(carried.model)}
    weight_bits, activation_bits = (
        {name: bits for name, bits in part.items() if bits < FLOAT_BITS and name in present}
        for part in (levels.weight_bits, levels.activation_bits)
    )
    quantizer = from_recipe("quantizer", config["quantization"]["quantizer"])
    settings = Quantization(
        weight_bits,
        activation_bits,
        granularity=levels.granularity,
        symmetric=levels.symmetric,
        act_symmetric=config["quantization"]["activations"]["symmetric"],
        quantizer=quantizer if learned else quantizer.untrained(),
    )
    batches = []
    if activation_bits:
        example = to_device(setup.example_input, setup.device)
        found = placement(carried.model, lambda model: call(model, example), weight_bits, activation_bits)
        settings = replace(settings, placement=found)
        carried.model.eval()
        batches = calibration_batches(setup, fold)
    settings, unseen = attach_calibrated(carried.model, settings, batches, lambda m, b: forward(m, setup.task, b))
    notes = (*carried.notes, *(f"{name}: its input was not seen in calibration and stays in fp32" for name in unseen))
    return carried.with_model(carried.model, quantized=settings, notes=notes)
