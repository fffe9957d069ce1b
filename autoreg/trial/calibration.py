"""What a task's calibration split tells of a network: its batches, and scores of weights and blocks on them."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from autoreg.methods.discovery import spec_of
from autoreg.methods.sparsity.criteria import collect
from autoreg.methods.weights import weighted_layers
from autoreg.network.weights import weight_of
from autoreg.tasks.batches import to_device
from autoreg.trial.loop import forward, phase_seed, seeded
from autoreg.trial.setup import Setup


def calibration_batches(setup: Setup, fold: str) -> list[Any]:
    """All batches of the calibration split of a fold, on the device."""
    return [to_device(batch, setup.device) for batch in setup.loaders(fold)["calibration"]]


def score_weights(
    model: nn.Module, setup: Setup, criterion: Any, *, seed: int, fold: str | None = None
) -> dict[str, Tensor]:
    """Score the weights of a model by a criterion on the calibration split.

    Returns:
        By layer name, a tensor shaped like the layer's weight; what is small can go.
    """
    task = setup.task
    stats: Mapping[str, Any] = {}
    if criterion.needs:
        batches = calibration_batches(setup, fold or task.folds[0])
        model.eval()
        stats = collect(model, batches, lambda m, b: forward(m, task, b), task.loss, criterion.needs)
    generator = torch.Generator().manual_seed(phase_seed(seed, "score", spec_of(criterion).name))
    return {
        layer: criterion.score(weight_of(module).detach(), stats.get(layer), generator)
        for layer, module in weighted_layers(model)
    }


def score_blocks(model: nn.Module, setup: Setup, selector: Any) -> dict[str, float]:
    """Score the droppable blocks of a network on the first calibration batch, in training mode.

    Args:
        model: the whole network; left as it is.
        setup: its task.
        selector: a method of kind `blocks` that needs the loss.
    """
    model = copy.deepcopy(model).train()
    for parameter in model.parameters():
        parameter.requires_grad_(parameter.is_floating_point())
    weights = {
        block.name: [weight_of(model.get_submodule(layer)) for layer in block.layers] for block in setup.profile.blocks
    }
    batch = calibration_batches(setup, setup.task.folds[0])[0]
    # the other kernels of attention cannot be differentiated twice
    with seeded(phase_seed(setup.options.reference_seed, "blocks")), sdpa_kernel(SDPBackend.MATH):
        loss = setup.task.loss(forward(model, setup.task, batch), batch)
        found: Mapping[str, float] = selector.score(loss, weights)
    return dict(found)
