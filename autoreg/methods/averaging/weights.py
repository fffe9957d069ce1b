"""The weights that are averaged, and how an average takes their place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from autoreg.lazy import lazy_module

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn
else:
    torch = lazy_module("torch")

Weights = dict[str, "Tensor"]
"""Parameters by their name in the model, parametrizations included."""

SCRATCH = "averaging"
"""Key in `state.scratch` under which a method keeps what it has averaged: plain data, so that it can be stored."""


def live_weights(model: nn.Module) -> Weights:
    """The parameters as they stand, no copies: what lies beneath masks and quantizers, and the steps of quantizers."""
    return {name: p.detach() for name, p in model.named_parameters() if p.is_floating_point()}


def load_average(model: nn.Module, average: Mapping[str, Tensor]) -> None:
    """Give a model averaged weights, in place; masks and quantizers above them stay, and so what is masked stays 0."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name in average:
                parameter.copy_(average[name])


def interpolate(first: Weights, second: Mapping[str, Tensor], part: float) -> Weights:
    """(1 - part) * first + part * second, by name; exactly the same where both are equal.

    Args:
        first: weights by name.
        second: of the same names and shapes.
        part: in [0, 1].
    """
    return {name: torch.lerp(weight, second[name], part) for name, weight in first.items()}


def copied(weights: Mapping[str, Tensor]) -> Weights:
    """Copies that training does not change."""
    return {name: weight.clone() for name, weight in weights.items()}


def ends_epoch(state: Any) -> bool:
    """Whether the step that was just taken is the last of an epoch; for `after_step`."""
    return bool((state.step + 1) % max(1, state.steps_per_epoch) == 0)
