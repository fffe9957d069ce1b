"""Least summed distortion, layer by layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from autoreg.errors import InputError
from autoreg.methods.base import method
from autoreg.methods.sparsity.allocations.shapes import NO_CURVES, LayerShape, one_amount
from autoreg.methods.sparsity.counts import retained_count
from autoreg.sensitivity.curve import Curve
from autoreg.sensitivity.program import program
from autoreg.space.spec import Paper


@method(
    "sensitivity",
    kind="allocation",
    catalogue=[104],
    paper=Paper(
        "Efficient Joint Optimization of Layer-Adaptive Weight Pruning in Deep Neural Networks",
        "Xu et al.",
        2023,
        arxiv="2308.10438",
        checked="the program against brute force and a linear relaxation; counts by hand",
    ),
)
class Sensitivity:
    """Removes where the dense network's outputs change least: each layer is measured at each level alone, and the
    levels are chosen whose distortions add up to least within the amount.
    """

    needs: ClassVar[tuple[str, ...]] = ("curves",)
    same_for_all: ClassVar[bool] = False

    def levels(
        self,
        layers: Sequence[LayerShape],
        amount: float | Mapping[str, Any],
        curves: Mapping[str, Curve] | None = None,
    ) -> dict[str, float]:
        """Share removed by layer name; what stays in all is exactly `retained_count` of all, at least one a layer.

        Args:
            layers: in order.
            amount: share removed of all weights (or channels), in [0, 1).
            curves: by layer, distortion over how many of its weights (or channels) stay, all of them first.

        Raises:
            InputError: without curves, or if the amount is given per layer or not in [0, 1).
        """
        share = one_amount("sensitivity", amount)
        if curves is None:
            raise InputError(NO_CURVES)
        missing = [layer.name for layer in layers if layer.name not in curves]
        if missing:
            raise InputError(f"allocation 'sensitivity': no curves for {', '.join(missing)}")
        held = [curves[layer.name] for layer in layers]
        if not held:
            return {}
        sizes = [curve.levels[0] for curve in held]
        budget = max(retained_count(sum(sizes), share), sum(curve.levels[-1] for curve in held))
        chosen = program([curve.distortion for curve in held], [curve.levels for curve in held], budget)
        retained = _filled(held, list(chosen.levels), budget)
        return {layer.name: (size - stay) / size for layer, size, stay in zip(layers, sizes, retained, strict=True)}

    def bits(
        self, sizes: Mapping[str, int], bits: int | Mapping[str, int], curves: Mapping[str, Curve] | None = None
    ) -> dict[str, int]:
        """Bits by layer name, from `curves`; all layers together take no more than at `bits` each.

        Args:
            sizes: weights that are stored, by layer.
            bits: of a weight on average, 2 to 8.
            curves: by layer, distortion over the bits of its weight.

        Raises:
            InputError: without curves, or if the bits are given by layer.
        """
        if isinstance(bits, Mapping):
            raise InputError(
                "quantization.weights: sensitivity divides one number of bits; bits per layer go with uniform"
            )
        if not sizes:
            return {}
        if curves is None:
            raise InputError(NO_CURVES)
        held = [curves[name] for name in sizes]
        costs = [[size * level for level in curve.levels] for size, curve in zip(sizes.values(), held, strict=True)]
        chosen = program([curve.distortion for curve in held], costs, bits * sum(sizes.values()))
        return {name: curve.levels[at] for name, curve, at in zip(sizes, held, chosen.levels, strict=True)}


def _filled(curves: Sequence[Curve], at: list[int], budget: int) -> list[int]:
    """What stays in each layer when the rest of the budget goes where the line to the next level falls most."""
    retained = [curve.levels[level] for curve, level in zip(curves, at, strict=True)]
    left = budget - sum(retained)

    def slope(i: int) -> float:
        (more, less), (ahead, here) = (row[at[i] - 1 : at[i] + 1] for row in (curves[i].levels, curves[i].distortion))
        return (here - ahead) / (more - less)

    while left > 0 and any(at):
        i = max((i for i, level in enumerate(at) if level > 0), key=slope)
        added = min(left, curves[i].levels[at[i] - 1] - retained[i])
        retained[i] += added
        left -= added
        at[i] -= 1
    return retained
