"""Does removing channels compute what ignoring them computes? Tried on copies with random weights."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from autoreg.costs._surgery import cut, silence
from autoreg.costs.shapes import ChannelGroup
from autoreg.costs.trace import call, tensors, trace

TOLERANCE = 1e-4  # of the largest output; a wrong removal on random weights is off by far more


def probe(model: nn.Module, example_input: Any, groups: Sequence[ChannelGroup]) -> tuple[ChannelGroup, ...]:
    """Return `groups`, those that fail the probe marked as not removable, with the reason.

    All candidates are probed together first; only when that fails, one by one.
    """
    candidates = [group for group in groups if group.removable]
    if not candidates:
        return tuple(groups)
    base = randomized(model)
    if _fault(base, example_input, candidates) is None:
        return tuple(groups)
    faults = {group.id: _fault(base, example_input, [group]) for group in candidates}
    sound = [group for group in candidates if faults[group.id] is None]
    together = _fault(base, example_input, sound) if sound else None
    if together is not None:  # no group alone is to blame, so none can be trusted
        faults.update({group.id: together for group in sound})
    return tuple(
        group if not (reason := faults.get(group.id)) else replace(group, removable=False, reason=reason)
        for group in groups
    )


def randomized(model: nn.Module) -> nn.Module:
    """A copy of `model` in evaluation mode whose parameters and running statistics are random but tame."""
    twin = copy.deepcopy(model).eval()
    generator = torch.Generator().manual_seed(0)

    def draw(like: Tensor, low: float, high: float) -> Tensor:
        return (torch.rand(like.shape, generator=generator) * (high - low) + low).to(like)

    with torch.no_grad():
        for name, value in [*twin.named_parameters(), *twin.named_buffers()]:
            if not value.is_floating_point():
                continue
            if name.endswith("running_mean"):
                value.copy_(draw(value, -0.5, 0.5))
            elif name.endswith("running_var"):
                value.copy_(draw(value, 0.5, 1.5))
            elif isinstance(value, nn.Parameter) and value.dim() > 1:
                bound = (6.0 / max(1, value[0].numel())) ** 0.5
                value.copy_(draw(value, -bound, bound))
            elif isinstance(value, nn.Parameter):
                low, high = (0.5, 1.5) if name.endswith("weight") else (-0.5, 0.5)
                value.copy_(draw(value, low, high))
    return twin


def _some(group: ChannelGroup) -> list[int]:
    """A third of the channels, spread unevenly, at least one and never all."""
    generator = torch.Generator().manual_seed(group.size)
    count = max(1, group.size // 3)
    return sorted(torch.randperm(group.size, generator=generator)[:count].tolist())


def _fault(base: nn.Module, example_input: Any, groups: Sequence[ChannelGroup]) -> str | None:
    """What goes wrong when some channels of `groups` are removed; None when nothing does."""
    removed = {group.id: _some(group) for group in groups}
    silent, small = copy.deepcopy(base), copy.deepcopy(base)
    try:
        silence(silent, groups, removed)
        cut(small, groups, removed)
    except Exception as error:  # a parametrization may refuse a weight of another shape
        return f"these channels cannot be cut ({str(error).splitlines()[0][:120]})"
    with torch.no_grad():
        expected = tensors(call(silent, example_input))
        try:
            found = tensors(call(small, example_input))
        except Exception as error:
            return f"the model does not run without some of these channels ({str(error).splitlines()[0][:120]})"
    if [value.shape for value in found] != [value.shape for value in expected]:
        return "these channels reach the model's output"
    for one, other in zip(found, expected, strict=True):
        scale = float(other.abs().max()) if other.numel() else 0.0
        if other.is_floating_point() and not torch.allclose(one, other, rtol=0.0, atol=TOLERANCE * max(scale, 1e-6)):
            return "something mixes, normalizes or reshapes these channels: without them the others change"
    before, after = trace(base, example_input), trace(small, example_input)
    if before.positions != after.positions or before.functional != after.functional:
        return "work without a layer (attention, matrix products) depends on the number of these channels"
    return None
