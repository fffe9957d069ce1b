"""Ranks by a budget of weights for the whole network."""

from __future__ import annotations

import heapq
import math
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, ClassVar

from autoreg.methods.base import method
from autoreg.methods.sparsity.allocations.shapes import LayerShape
from autoreg.methods.sparsity.counts import check_amount
from autoreg.methods.sparsity.ranks import spectra_of
from autoreg.space.spec import Paper, uniform

if TYPE_CHECKING:
    from torch import Tensor


def greedy_ranks(shapes: Sequence[Sequence[int]], spectra: Sequence[Sequence[float]], amount: float) -> list[int]:
    """Lower one layer's rank after another, each time where the least energy goes for a weight, to meet the budget.

    The step of a layer from energy E to E' and from C to C' weights costs (E − E') / E / (C − C'). A dense layer has
    all its weights and its full rank; its first step leads to the largest rank at which its two factors have fewer.

    Args:
        shapes: of the weights.
        spectra: squared singular values of each, largest first.
        amount: share of the weights of all layers together that goes, in [0, 1).

    Returns:
        Ranks, at least 1. The budget is met as soon as it can be: one step less would leave more weights than it
        allows. Of equal steps the first layer's is taken.

    Example:
        >>> greedy_ranks([(4, 4), (4, 4)], [[9.0, 1.0, 0.0, 0.0], [4.0, 3.0, 2.0, 1.0]], 0.25)
        [1, 4]
    """
    each = [shape[0] + math.prod(shape[1:]) for shape in shapes]
    sizes = [math.prod(shape) for shape in shapes]
    ranks = [len(spectrum) for spectrum in spectra]
    held = [[0.0, *accumulate(spectrum)] for spectrum in spectra]
    costs, total = list(sizes), sum(sizes)
    wanted = (1.0 - check_amount(amount)) * total
    steps: list[tuple[float, int, int]] = []

    def offer(index: int) -> None:
        lower = min(ranks[index] - 1, (sizes[index] - 1) // each[index])
        if lower >= 1:
            energy = held[index][ranks[index]]
            lost = (energy - held[index][lower]) / energy if energy > 0 else 0.0
            heapq.heappush(steps, (lost / (costs[index] - lower * each[index]), index, lower))

    for index in range(len(shapes)):
        offer(index)
    while steps and total > wanted:
        _, index, ranks[index] = heapq.heappop(steps)
        total += ranks[index] * each[index] - costs[index]
        costs[index] = ranks[index] * each[index]
        offer(index)
    return ranks


@method(
    "greedy",
    kind="rank",
    catalogue=[154],
    paper=Paper(
        "Accelerating Very Deep Convolutional Networks for Classification and Detection",
        "Zhang et al.",
        2015,
        arxiv="1505.06798",
        checked="ranks by hand and by trying all; its rank selection, with the energy of weights for that of responses "
        "and weights for multiply-accumulates",
    ),
)
class Greedy:
    """Divides one budget of weights among the layers by their energy in the dense reference, greedily."""

    needs: ClassVar[tuple[str, ...]] = ("spectra",)
    amount: float = uniform(
        0.1, 0.8, default=0.5, min=0.0, max=0.99, doc="share of the weights of the layers that can be factored"
    )

    def ranks(self, layers: Sequence[LayerShape], spectra: Mapping[str, Tensor] | None = None) -> dict[str, int]:
        """Rank by layer name; the full one says that the layer stays dense.

        Raises:
            InputError: without the squared singular values of a reference, largest first, for every layer.
        """
        values = spectra_of("greedy", layers, spectra)
        found = greedy_ranks([layer.shape for layer in layers], [value.tolist() for value in values], self.amount)
        return {layer.name: rank for layer, rank in zip(layers, found, strict=True)}
