"""How large a training that is left in its midst is, before anything trains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from autoreg.methods.discovery import all_from_recipe
from autoreg.trial.checkpoint import pack_training
from autoreg.trial.loop import make_optimizer
from autoreg.trial.run import Run


def copies_of_weights(settings: Mapping[str, Any], ends: Sequence[int]) -> list[float]:
    """How many times the weights of its network a training holds: they, the optimizer's state, averages.

    They are counted on a small layer that is trained for as many steps as the training has epochs: what is kept grows
    with the weights, and averages by the epoch. What else methods keep, and buffers, are left out.

    Args:
        settings: of a phase that trains.
        ends: the epochs that are asked for, ascending.
    """
    layer = nn.Linear(64, 64)
    methods = all_from_recipe("averaging", settings["averaging"]) if "averaging" in settings else ()
    epochs = int(settings["epochs"])
    run = Run(layer, None, methods, epochs=epochs, steps_per_epoch=1, generator=torch.Generator().manual_seed(0))
    run.state.optimizer = make_optimizer(layer, settings)
    found = []
    for epoch in range(1, max(ends, default=0) + 1):
        run.step(lambda: _zero_gradients(layer))
        if epoch in ends:
            held = pack_training(run, ()).tensors.values()
            found.append(sum(t.numel() for t in held if t.is_floating_point()) / _size(layer))
    return found


def _zero_gradients(layer: nn.Module) -> Tensor:
    for parameter in layer.parameters():
        parameter.grad = torch.zeros_like(parameter)
    return torch.zeros(())


def _size(layer: nn.Module) -> int:
    return sum(parameter.numel() for parameter in layer.parameters())
