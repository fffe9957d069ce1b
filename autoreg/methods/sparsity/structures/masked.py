"""What structures share that mask weights."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from autoreg.costs.levels import Levels
from autoreg.lazy import lazy_module
from autoreg.methods.sparsity.allocations.shapes import LayerShape
from autoreg.methods.sparsity.counts import retained_count
from autoreg.methods.sparsity.scheduled_masks import ScheduledMasks
from autoreg.methods.sparsity.structures.structure import DenseReference, Network, S, Structure, Target
from autoreg.network.weights import weight_of
from autoreg.sensitivity.ladder import MEASURED_AMOUNTS, Ladder, counts_ladder

if TYPE_CHECKING:
    from torch import Tensor, nn

    from autoreg.sensitivity import curves
else:
    curves = lazy_module("autoreg.sensitivity.curves")


class MaskedStructure(Structure):
    """Keeps masks on the weights: the shape of the network stays, zeros are stored and computed.

    A structure of this kind says how many weights of each layer stay (`retained`) and which (`mask`). A weight that
    another module holds too (a head tied to an embedding) is not masked.
    """

    zeros: ClassVar[str] = "unstructured"
    curve_settings: ClassVar[tuple[str, ...]] = ("criterion",)

    def retained(self, layers: Sequence[LayerShape], reference: DenseReference) -> dict[str, int]:
        """How many weights stay, by layer; layers that are not named stay dense."""
        raise NotImplementedError

    def mask(self, scores: Tensor, retained: int) -> Tensor:
        """The weights of one layer that stay, as a bool tensor; exactly `retained`, those of high score."""
        raise NotImplementedError

    def resolve(self, network: Network, reference: DenseReference) -> Levels:
        """How many weights of each layer stay."""
        shapes = [
            LayerShape(layer.name, tuple(layer.weight_shape), layer.groups, layer.type)
            for layer in network.layers
            if not layer.shared
        ]
        return Levels(retained=self.retained(shapes, reference))

    def apply(self, state: S, target: Target, fraction: float = 1.0) -> S:
        """Mask the weights at once."""
        if target.levels.retained:
            masks = ScheduledMasks(self, target.levels.retained, target.score)
            masks.attach(state.model)
            masks.update(state.model, fraction)
        return state

    def hooks(self, target: Target) -> tuple[Any, ...]:
        """The masks, as they follow the schedule."""
        retained = target.levels.retained
        return (ScheduledMasks(self, retained, target.score),) if retained else ()

    def ladder(self, network: Network, scores: Mapping[str, Tensor], example_input: Any) -> Ladder:
        """Every layer masked alone, at the amounts that are measured."""
        layers = [layer for layer in network.layers if not layer.shared]
        counts = {layer.name: {retained_count(layer.weights, share) for share in MEASURED_AMOUNTS} for layer in layers}
        return counts_ladder(counts, scores, partial(_masked, structure=self))


@contextlib.contextmanager
def _masked(
    model: nn.Module, *, structure: MaskedStructure, name: str, score: Tensor, level: int
) -> Iterator[nn.Module]:
    weight = weight_of(model.get_submodule(name)).detach()
    with curves.weights_set(model, {name: weight * structure.mask(score, level)}):
        yield model
