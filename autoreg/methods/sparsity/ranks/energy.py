"""Ranks by the energy that they hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

from autoreg.lazy import lazy_module
from autoreg.methods.base import method
from autoreg.methods.sparsity.allocations.shapes import LayerShape
from autoreg.methods.sparsity.ranks import spectra_of
from autoreg.space.spec import Paper, uniform

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = lazy_module("torch")


def energy_rank(spectrum: Tensor, share: float) -> int:
    """The smallest rank that holds a share of the energy, the sum of the squared singular values; at least 1.

    Args:
        spectrum: squared singular values, largest first, [n].
        share: in (0, 1].

    >>> import torch
    >>> energy_rank(torch.tensor([6.0, 3.0, 1.0]), 0.9), energy_rank(torch.tensor([6.0, 3.0, 1.0]), 0.91)
    (2, 3)
    """
    held = torch.cumsum(spectrum.double(), 0)
    wanted = share * float(held[-1]) * (1.0 - 1e-12)  # a sum that is rounded down still holds its share
    return min(spectrum.numel(), max(1, int((held < wanted).sum()) + 1))


@method(
    "energy",
    kind="rank",
    catalogue=[154],
    paper=Paper(
        "Accelerating Very Deep Convolutional Networks for Classification and Detection",
        "Zhang et al.",
        2015,
        arxiv="1505.06798",
        checked="ranks by hand; the paper takes the energy of a layer's responses and trades it among layers, here it "
        "is that of the weights, with one share for all layers",
    ),
)
class Energy:
    """Every layer keeps the smallest rank that holds the share of its squared singular values, in the dense reference.

    Layers whose energy lies in few directions lose most.
    """

    needs: ClassVar[tuple[str, ...]] = ("spectra",)
    share: float = uniform(
        0.7, 0.99, default=0.9, min=0.01, max=1.0, doc="share of a weight's squared singular values that is kept"
    )

    def ranks(self, layers: Sequence[LayerShape], spectra: Mapping[str, Tensor] | None = None) -> dict[str, int]:
        """Rank by layer name.

        Raises:
            InputError: without the squared singular values of a reference, largest first, for every layer.
        """
        values = spectra_of("energy", layers, spectra)
        return {layer.name: energy_rank(value, self.share) for layer, value in zip(layers, values, strict=True)}
