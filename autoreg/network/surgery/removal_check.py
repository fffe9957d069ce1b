"""Does removing channels compute what ignoring them computes? Tried on copies with random weights."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from autoreg.network.inputs import call, tensors
from autoreg.network.shapes import ChannelGroup
from autoreg.network.surgery.cut import cut, silence
from autoreg.network.trace import Trace, trace

REMOVAL_TOLERANCE = 1e-4  # of the largest output; a wrong removal on random weights is off by far more


def verified(
    model: nn.Module,
    example_input: Any,
    groups: Sequence[ChannelGroup],
    head_layouts: Mapping[str, Sequence[ChannelGroup]] | None = None,
) -> tuple[ChannelGroup, ...]:
    """Return `groups`, those that fail the check marked as not removable, with the reason.

    All candidates are checked together first; only when that fails, one by one. Of attention heads that fail, the first
    of their other candidate layouts that passes stands; the work that each head does is measured.
    """
    if not any(group.removable for group in groups):
        return tuple(groups)
    base = randomized(model)
    before = trace(base, example_input)
    first = [_measured(base, example_input, before, group) for group in groups]
    candidates = [group for group in first if group.removable]
    whole = all(one.removable == group.removable for one, group in zip(first, groups, strict=True))
    if whole and _fault(base, example_input, before, candidates, 2) is None:
        return tuple(first)
    layouts = head_layouts or {}
    chosen = [
        _first_sound_layout(base, example_input, before, [group, *layouts.get(group.id, ())]) if group.heads else group
        for group in groups
    ]
    candidates = [group for group in chosen if group.removable]
    if not candidates or _fault(base, example_input, before, candidates, 2) is None:
        return tuple(chosen)
    faults = {group.id: _fault(base, example_input, before, [group]) for group in candidates}
    sound = [group for group in candidates if faults[group.id] is None]
    together = _fault(base, example_input, before, sound) if sound else None
    if together is not None:  # no group alone is to blame, so none can be trusted
        faults.update({group.id: together for group in sound})
    return tuple(
        group if not (reason := faults.get(group.id)) else replace(group, removable=False, reason=reason)
        for group in chosen
    )


def _first_sound_layout(
    base: nn.Module, example_input: Any, before: Trace, layouts: Sequence[ChannelGroup]
) -> ChannelGroup:
    """The first layout of attention heads that passes the check; else why the first one does not."""
    reasons = []
    for layout in layouts:
        found = _measured(base, example_input, before, layout)
        reason = _fault(base, example_input, before, [found]) if found.removable else found.reason
        if reason is None:
            return found
        reasons.append(reason)
    if not layouts[0].removable:
        return layouts[0]
    why = f"these attention heads cannot be removed one by one: {reasons[0]}"
    return replace(layouts[0], removable=False, reason=why)


def _measured(base: nn.Module, example_input: Any, before: Trace, group: ChannelGroup) -> ChannelGroup:
    """A group of heads with the work of each, or not removable with the reason; any other group as it is."""
    if not (group.heads and group.removable):
        return group
    work = _work(base, example_input, before, group)
    if isinstance(work, str):
        return replace(group, removable=False, reason=work)
    return replace(group, work=work)


def _work(base: nn.Module, example_input: Any, before: Trace, group: ChannelGroup) -> tuple[tuple[str, int], ...] | str:
    """Multiply-accumulates without a layer that leave with one head, by module; or why removing it fails."""
    small = copy.deepcopy(base)
    try:
        cut(small, [group], {group.id: [group.size // 2]})
        after = trace(small, example_input)
    except Exception as error:
        return _cannot_run(error)
    names = dict.fromkeys([*before.functional, *after.functional])
    spent = {name: before.functional.get(name, 0) - after.functional.get(name, 0) for name in names}
    return tuple((name, macs) for name, macs in spent.items() if macs)


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


def _some(group: ChannelGroup, part: int) -> list[int]:
    """One of every `part` channels, spread unevenly, at least one and never all."""
    generator = torch.Generator().manual_seed(group.size)
    count = max(1, group.size // part)
    return sorted(torch.randperm(group.size, generator=generator)[:count].tolist())


def _cannot_run(error: Exception) -> str:
    lines = str(error).splitlines() or [type(error).__name__]
    return f"the model does not run without some of these channels ({lines[0][:120]})"


def _fault(
    base: nn.Module, example_input: Any, before: Trace, groups: Sequence[ChannelGroup], part: int = 3
) -> str | None:
    """What goes wrong when one of every `part` channels of `groups` is removed; None when nothing does."""
    removed = {group.id: _some(group, part) for group in groups}
    silent, small = copy.deepcopy(base), copy.deepcopy(base)
    try:
        silence(silent, groups, removed)
        cut(small, groups, removed)
    except Exception as error:  # a parametrization may refuse a weight of another shape
        return f"these channels cannot be cut ({str(error)[:120]})"
    with torch.no_grad():
        expected = tensors(call(silent, example_input))
        try:
            found = tensors(call(small, example_input))
        except Exception as error:
            return _cannot_run(error)
    if [value.shape for value in found] != [value.shape for value in expected]:
        return "these channels reach the model's output"
    for one, other in zip(found, expected, strict=True):
        scale = float(other.abs().max()) if other.numel() else 0.0
        if other.is_floating_point() and not torch.allclose(
            one, other, rtol=0.0, atol=REMOVAL_TOLERANCE * max(scale, 1e-6)
        ):
            return "something mixes, normalizes or reshapes these channels: without them the others change"
    after = trace(small, example_input)
    functional = dict(before.functional)
    for group in groups:
        for name, macs in group.work:
            functional[name] = functional.get(name, 0) - macs * len(removed[group.id])
    if before.positions != after.positions or functional != dict(after.functional):
        return "work without a layer (attention, matrix products) depends on the number of these channels"
    return None
