"""A narrow network with weights of a whole one that was trained."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from autoreg.methods.sparsity.structures.channel import channel_scores
from autoreg.network.shapes import ChannelGroup
from autoreg.network.surgery.cut import role
from autoreg.network.trace import evaluating, hooked
from autoreg.plan import Phase
from autoreg.trial.calibration import calibration_batches, score_weights
from autoreg.trial.context import PhaseContext
from autoreg.trial.loop import forward
from autoreg.trial.model_state import ModelState
from autoreg.trial.narrow_setup import NarrowSetup


def narrow_phase(context: PhaseContext, phase: Phase, state: ModelState, generator: torch.Generator) -> ModelState:
    """Cut the recipe's network out of the trained whole one."""
    setup, network = context.setup, context.recipe.network
    assert isinstance(setup, NarrowSetup)
    assert network is not None
    with setup.lock.shared():
        model = inherited(state.model, setup, network.inherit, seed=generator.initial_seed(), fold=context.fold)
    return state.with_model(model)


def inherited(model: nn.Module, setup: NarrowSetup, rule: Any, *, seed: int, fold: str) -> nn.Module:
    """The narrow network with those weights of a trained one that a rule chooses.

    Args:
        model: the whole network; left as it is.
        setup: the task with the narrow network.
        rule: a method of kind `inherit`.
        seed: of what its criterion draws.
        fold: whose calibration split it looks at.
    """
    groups = setup.groups
    values: Mapping[str, Tensor] = {}
    if "scores" in rule.needs and groups:
        scores = score_weights(model, setup, rule.criterion, seed=seed, fold=fold)
        values = {group.id: channel_scores(group, scores) for group in groups}
    elif "activations" in rule.needs and groups:
        batches = calibration_batches(setup, fold)
        values = mean_activations(model, groups, [lambda m, b=batch: forward(m, setup.task, b) for batch in batches])
    sizes = {group.id: setup.retained_channels(group) for group in groups}
    channels = {group.id: rule.select(group.size, sizes[group.id], values.get(group.id)) for group in groups}
    model = copy.deepcopy(model)
    if hasattr(rule, "scale"):
        for group in groups:
            scale_readers(model, group, rule.scale(group.size, sizes[group.id]))
    return setup.cut_from(model, channels).to(setup.device)


def mean_activations(model: nn.Module, groups: Sequence[ChannelGroup], runs: Sequence[Any]) -> dict[str, Tensor]:
    """Mean absolute value of each channel of coupled groups where layers read it, in evaluation mode.

    Args:
        model: the whole network; left as it is.
        groups: each is read by at least one layer, or all its channels get 0.
        runs: each calls the model it is given with one batch.

    Returns:
        By group, float64, [channels].
    """
    found = {group.id: torch.zeros(group.size, dtype=torch.float64) for group in groups}
    reading: dict[str, list[tuple[ChannelGroup, int]]] = {}
    for group in groups:
        for number, (name, axis) in enumerate(group.members):
            if role(model.get_submodule(name), axis) == "in":
                reading.setdefault(name, []).append((group, number))

    def watch(name: str) -> Any:
        def hook(module: nn.Module, inputs: tuple[Any, ...]) -> None:
            value = inputs[0].detach().double().cpu().abs()
            along = value.mean(dim=tuple(range(value.ndim - 1)))
            if not isinstance(module, nn.Linear):
                along = value.mean(dim=(0, *range(2, value.ndim)))
            for group, number in reading[name]:
                start, repeat = group.spans[number]
                found[group.id] += along[start : start + group.size * repeat].reshape(group.size, repeat).mean(1)

        return hook

    handles = [model.get_submodule(name).register_forward_pre_hook(watch(name)) for name in reading]
    with hooked(handles), evaluating(model), torch.no_grad():
        for run in runs:
            run(model)
    return found


def scale_readers(model: nn.Module, group: ChannelGroup, factor: float) -> None:
    """Multiply the weights that read the channels of a group, in place."""
    for number, (name, axis) in enumerate(group.members):
        module: Any = model.get_submodule(name)
        if role(module, axis) == "in":
            start, repeat = group.spans[number]
            with torch.no_grad():
                module.weight.narrow(axis, start, group.size * repeat).mul_(factor)
