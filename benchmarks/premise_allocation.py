"""Shares removed per layer by sensitivity: curves of the tuned network, and the additive program over them."""

from __future__ import annotations

from functools import lru_cache, partial
from typing import Any

import torch
from torch import Tensor, nn

from autoreg.methods.sparsity.counts import retained_count
from autoreg.network.weights import weight_of
from autoreg.sensitivity.curves import Curve, Dense, curves, weights_set
from autoreg.sensitivity.program import program
from autoreg.tasks.batches import logits_of
from autoreg.trial.calibration import calibration_batches
from autoreg.trial.loop import forward, re_estimate
from autoreg.trial.objective import TaskObjective

SHARES = (0.0, 0.3, 0.5, 0.65, 0.75, 0.82, 0.88, 0.92, 0.95, 0.97, 0.985)
"""Shares removed at which every layer is measured."""


def sensitive_amounts(objective: TaskObjective, amount: float) -> dict[str, float]:
    """Shares removed by layer that together remove `amount` of all weights with the least summed distortion.

    Distortion is the divergence of the network's outputs on the calibration split when one layer is masked by
    magnitude; batch-norm statistics are estimated on that split, with and without the mask.
    """
    setup = objective.setup
    found = _curves(objective)
    sizes = {layer.name: layer.weights for layer in setup.profile.layers if layer.name in found}
    budget = round((1 - amount) * sum(sizes.values()))
    names = list(found)
    picked = program([found[n].distortion for n in names], [found[n].levels for n in names], budget)
    retained = {name: found[name].levels[level] for name, level in zip(names, picked.levels, strict=True)}
    return {
        layer.name: 1 - retained[layer.name] / layer.weights for layer in setup.profile.layers if layer.name in retained
    }


@lru_cache(maxsize=1)
def _curves(objective: TaskObjective) -> dict[str, Curve]:
    setup = objective.setup
    task, fold = setup.task, setup.task.folds[0]
    model = objective.reference.model
    batches = calibration_batches(setup, fold)
    re_estimated = partial(re_estimate, task=task, loader=batches, device=setup.device)
    dense = Dense(re_estimated(model), batches, lambda m, b: logits_of(forward(m, task, b)))
    variants: dict[str, dict[int, Any]] = {}
    for layer in setup.profile.layers:
        if not layer.shared:
            counts = sorted({retained_count(layer.weights, share) for share in SHARES})
            variants[layer.name] = {
                k: partial(_masked, name=layer.name, retained=k) for k in counts if k < layer.weights
            }
            variants[layer.name] |= {layer.weights: None}
    return curves(model, dense, variants, re_estimate_batch_norm=re_estimated)


def _masked(model: nn.Module, *, name: str, retained: int) -> Any:
    return weights_set(model, {name: largest(weight_of(model.get_submodule(name)).detach(), retained)})


def largest(weight: Tensor, retained: int) -> Tensor:
    """The weight with all but its `retained` largest entries set to zero."""
    flat = weight.abs().flatten()
    mask = torch.zeros_like(flat, dtype=torch.bool)
    mask[flat.topk(retained).indices] = True
    return weight * mask.view_as(weight)
