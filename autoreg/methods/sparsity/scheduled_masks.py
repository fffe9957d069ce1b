"""Masks that follow a schedule while the weights beneath them are trained."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from autoreg.lazy import lazy_module
from autoreg.methods.sparsity.counts import retained_count
from autoreg.methods.sparsity.masks import attach_masks, masks
from autoreg.methods.state import State
from autoreg.network.weights import weight_of

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn
else:
    torch = lazy_module("torch")

MASK_UPDATES = 16  # a gradual schedule re-picks its mask so many times on its way


class ScheduledMasks:
    """Keeps masks on weights while they are trained, at the level that the schedule has reached.

    A method with hooks like any other: masks are attached when the phase starts, re-picked on the weights
    beneath them while the schedule is on its way, and exact when the phase ends.

    Args:
        structure: picks the mask of a layer (`mask`) and follows a schedule (`fraction`).
        retained: by layer, how many weights stay in the end.
        score: returns the scores of the weights of a model by layer; small ones go.
    """

    def __init__(
        self, structure: Any, retained: Mapping[str, int], score: Callable[[nn.Module], Mapping[str, Tensor]]
    ) -> None:
        self._structure, self._retained, self._score = structure, retained, score
        self._reached = -1.0
        self._next_update = 0.0

    def prepare(self, state: State) -> None:
        """Attach masks through which everything is seen, then take the first step."""
        self.attach(state.model)
        self.update(state.model, self._structure.fraction(0.0))

    def attach(self, model: nn.Module) -> None:
        """Attach masks through which everything is seen."""
        weights = {name: weight_of(model.get_submodule(name)) for name in self._retained}
        attach_masks(model, {name: torch.ones_like(w, dtype=torch.bool) for name, w in weights.items()})

    def after_step(self, state: State) -> None:
        """Re-pick the masks when the schedule has moved on."""
        progress = state.progress
        if progress < self._next_update:
            return
        self._next_update = progress + 1.0 / MASK_UPDATES
        self.update(state.model, self._structure.fraction(progress))

    def finish(self, state: State) -> None:
        """Bring every layer to its exact level."""
        self.update(state.model, 1.0)

    def update(self, model: nn.Module, fraction: float) -> None:
        """Set the masks to `fraction` of the way from dense to the levels."""
        if fraction == self._reached or fraction <= 0.0:
            return
        self._reached = fraction
        scores = self._score(model)  # weights that are already masked count as zero: they stay masked
        for name, mask in masks(model).items():
            now = mask.numel() - removed_count(mask.numel(), self._retained[name], fraction)
            mask.copy_(self._structure.mask(scores[name], now))


def removed_count(numel: int, retained: int, fraction: float) -> int:
    """How many of `numel` weights are gone when `fraction` of the way to `retained` is done.

    >>> removed_count(100, 20, 0.5), removed_count(100, 20, 1.0)
    (40, 80)
    """
    if fraction >= 1.0:
        return numel - retained
    return numel - retained_count(numel, fraction * (1 - retained / numel))
