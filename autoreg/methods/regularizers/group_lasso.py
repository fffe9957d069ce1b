"""Structured sparsity learning: whole filters, channels or shape columns are driven to zero."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from autoreg.errors import InputError
from autoreg.lazy import lazy_module
from autoreg.methods.base import method
from autoreg.methods.state import State
from autoreg.methods.weights import outputs_first, raw_weight
from autoreg.network.weights import weight_of
from autoreg.space.spec import Paper, choice, log

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = lazy_module("torch")


def _summed(weight: Tensor, group: str) -> tuple[int, ...]:
    """The dimensions that one group runs over."""
    dims: Mapping[str, tuple[int, ...]] = {
        "filter": tuple(range(1, weight.ndim)),
        "channel": (0, *range(2, weight.ndim)),
        "shape": (0,),
    }
    if group not in dims:
        raise InputError(f"group = {group!r}; allowed: {', '.join(dims)}")
    return dims[group]


def group_norms(weight: Tensor, group: str) -> Tensor:
    """Euclidean norm of every group of a weight; its gradient at a group of zeros is zero.

    Args:
        weight: [out, in] or [out, in, *kernel].
        group: `filter` (all that makes one output), `channel` (all that reads one input) or
            `shape` (what stands at one input and kernel position in all filters).

    Returns:
        [out], [in] or [in, *kernel].

    Example:
        >>> import torch
        >>> group_norms(torch.tensor([[3.0, 4.0], [0.0, 0.0]]), "filter")
        tensor([5., 0.])
    """
    norms: Tensor = torch.linalg.vector_norm(weight, dim=_summed(weight, group))
    return norms


def group_penalty(weight: Tensor, group: str) -> Tensor:
    """Σ_g √|g|·‖w_g‖ of a weight, a scalar; the root makes groups of different sizes comparable."""
    norms = group_norms(weight, group)
    return norms.sum() * math.sqrt(weight.numel() / norms.numel())


def shrink_groups(weight: Tensor, group: str, threshold: float) -> Tensor:
    """The proximal operator of threshold·Σ_g‖w_g‖: w_g · max(0, 1 − threshold / ‖w_g‖).

    Args:
        weight: [out, in] or [out, in, *kernel].
        group: as in `group_norms`.
        threshold: at least 0, in the units of the weight.

    Returns:
        Shaped like the weight.
    """
    dims = _summed(weight, group)
    norms = torch.linalg.vector_norm(weight, dim=dims, keepdim=True)
    factor = (1 - threshold / norms.clamp_min(torch.finfo(weight.dtype).tiny)).clamp_min(0)
    shrunk: Tensor = weight * factor
    return shrunk


@method(
    "group_lasso",
    kind="regularizer",
    catalogue=[145],
    conflicts=[
        (
            'regularizer.group_lasso.step == "proximal" and reparam == "spectral_norm"',
            "a proximal step shrinks the trained weight, which spectral_norm rescales: use step: subgradient",
        )
    ],
    paper=Paper(
        "Learning Structured Sparsity in Deep Neural Networks",
        "Wen et al.",
        2016,
        arxiv="1608.03665",
        checked="norms by hand; the proximal step against a numerical minimizer",
    ),
)
class GroupLasso:
    """Adds strength × Σ_g √|g|·‖w_g‖ / number of weights: groups of weights reach zero together.

    With groups of one weight this is L1 with the same strength. `subgradient` adds the term to the loss;
    `proximal` leaves the loss alone and shrinks the groups after each optimizer step, by the step's learning
    rate, so that they become exactly zero. SGD's momentum is counted in, so that both forms have the same minimum;
    with Adam, whose rate differs from weight to weight, the plain learning rate is used.
    """

    strength: float = log(1e-1, 3e1, doc="factor on the penalty per weight")
    group: str = choice("filter", "channel", "shape", doc="the weights that go together")
    step: str = choice("subgradient", "proximal", doc="a term of the loss, or a shrinkage after each step")

    def loss(self, state: State) -> Tensor:
        """The term; zero where the proximal step does the work."""
        weights = [outputs_first(weight_of(module), module) for _, module in state.layers()]
        if self.step == "proximal":
            return weights[0].new_zeros(())
        total = torch.stack([group_penalty(w, self.group) for w in weights]).sum()
        return self.strength * total / sum(w.numel() for w in weights)

    def after_step(self, state: State) -> None:
        """The proximal step, on the parameters beneath masks and other parametrizations."""
        if self.step != "proximal" or state.optimizer is None:
            return
        rates = {id(p): _rate(group) for group in state.optimizer.param_groups for p in group["params"]}
        layers = state.layers()
        total = sum(raw_weight(module).numel() for _, module in layers)
        for _, module in layers:
            weight = raw_weight(module)
            if id(weight) not in rates:
                continue
            seen = outputs_first(weight.detach(), module)
            size = seen.numel() / group_norms(seen, self.group).numel()
            threshold = rates[id(weight)] * self.strength * math.sqrt(size) / total
            with torch.no_grad():
                weight.copy_(_turned_back(shrink_groups(seen, self.group, threshold), weight, module))


def _rate(group: Mapping[str, Any]) -> float:
    """How far a steady unit gradient moves a parameter per step: lr / (1 − momentum) under SGD, lr otherwise."""
    return float(group["lr"]) / (1.0 - float(group.get("momentum", 0.0)))


def _turned_back(turned: Tensor, weight: Tensor, module: torch.nn.Module) -> Tensor:
    """Undo `outputs_first`."""
    if turned.shape == weight.shape and not getattr(module, "transposed", False):
        return turned
    groups = int(module.groups)  # type: ignore[arg-type]
    inputs, outputs, *kernel = weight.shape
    return turned.reshape(groups, outputs, inputs // groups, *kernel).transpose(1, 2).reshape(weight.shape)
