"""Fresh weights of a network that was cut: with the scale that it would have had if it had been built narrow.

Most layers draw their weights by their number of inputs (He et al., 2015, arXiv:1502.01852; Glorot, Bengio, 2010), so
that a slice of a wide network's weights is too small. Modules that hold what their own `reset_parameters` gives draw
anew; what a model has set otherwise stays the slice that it is, times the ratio of scales where its spread is that of
one of the usual rules.
"""

from __future__ import annotations

import copy
import math
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

SPREAD_TOLERANCE = 0.1  # relative, of the deviation of a tensor: beyond it is another rule
SURE_NUMBERS = 256  # of a tensor, whose deviation is then known to 5 %

_RULES: tuple[Callable[[float, float], float], ...] = (
    lambda inputs, outputs: 1 / inputs,
    lambda inputs, outputs: 2 / inputs,
    lambda inputs, outputs: 1 / outputs,
    lambda inputs, outputs: 2 / outputs,
    lambda inputs, outputs: 2 / (inputs + outputs),
)
"""Variances of a weight by its numbers of inputs and outputs: LeCun, He, both by outputs, Glorot."""


def own_initialization(model: nn.Module) -> frozenset[str]:
    """Names of the modules whose parameters are as their own `reset_parameters` leaves them, as far as spread tells.

    Args:
        model: freshly built. Draws from torch's global generator.
    """
    holders = Counter(id(p) for module in model.modules() for p in module.parameters(recurse=False))
    found = set()
    for name, module in model.named_modules():
        if not hasattr(module, "reset_parameters") or is_parametrized(module):
            continue
        parameters = dict(module.named_parameters(recurse=False))
        if any(holders[id(parameter)] > 1 for parameter in parameters.values()):
            continue
        twin: Any = copy.deepcopy(module)
        twin.reset_parameters()
        again = dict(twin.named_parameters(recurse=False))
        if all(_alike(parameter.detach(), again[own].detach()) for own, parameter in parameters.items()):
            found.add(name)
    return frozenset(found)


def initialize(model: nn.Module, whole: nn.Module, own: Collection[str]) -> None:
    """Give a network that was cut fresh weights of its own scale, in place.

    Args:
        model: cut out of a freshly built one. Draws from torch's global generator.
        whole: what it was cut from.
        own: modules that draw anew, see `own_initialization`.
    """
    before = dict(whole.named_modules())
    drawn: set[int] = set()
    # from the inside out, as a model builds its parts before it looks at them
    for name, module in reversed(list(model.named_modules())):
        if name in own and hasattr(module, "reset_parameters") and type(module) is type(before[name]):
            module.reset_parameters()
            drawn |= {id(parameter) for parameter in module.parameters(recurse=False)}
    full: Mapping[str, Tensor] = dict(whole.named_parameters())
    for name, parameter in model.named_parameters():
        if id(parameter) not in drawn and name in full and parameter.shape != full[name].shape:
            with torch.no_grad():
                parameter.mul_(rescaled(full[name].detach(), parameter.shape))


def rescaled(weight: Tensor, shape: torch.Size) -> float:
    """Factor on a slice of a weight, [out, in, ...], that gives it the scale of one of `shape`; 1 if no rule is known.

    Example:
        >>> import torch
        >>> wide = torch.randn(64, 64, generator=torch.Generator().manual_seed(0)) / 8  # by its 64 inputs
        >>> rescaled(wide, torch.Size([64, 16]))
        2.0
    """
    if weight.ndim < 2 or weight.numel() < SURE_NUMBERS:
        return 1.0
    spread = float(weight.float().std())
    for rule in _RULES:
        variance = rule(*_fans(weight.shape))
        if abs(spread / math.sqrt(variance) - 1) < SPREAD_TOLERANCE:
            return math.sqrt(rule(*_fans(shape)) / variance)
    return 1.0


def _fans(shape: torch.Size) -> tuple[float, float]:
    """Inputs and outputs of a weight [out, in, ...], each times the kernel."""
    kernel = math.prod(shape[2:])
    return shape[1] * kernel, shape[0] * kernel


def _alike(one: Tensor, other: Tensor) -> bool:
    """Whether two draws of a parameter can be of one distribution: their constants agree, or their spreads."""
    if one.numel() < 2 or not (one.float().std() and other.float().std()):
        constant = all(tensor.numel() > 0 and bool((tensor == tensor.flatten()[0]).all()) for tensor in (one, other))
        return one.numel() == 0 or (constant and (one.numel() < 2 or bool((one == other).all())))
    noise = 5 / math.sqrt(2 * one.numel())  # five standard errors of a deviation
    return abs(float(one.float().std() / other.float().std()) - 1) < max(SPREAD_TOLERANCE, noise)
