"""Two thin layers in place of one."""

from __future__ import annotations

from typing import Any

from autoreg.methods.base import method
from autoreg.space.spec import Paper, slot


@method(
    "low_rank",
    kind="structure",
    catalogue=[152, 154],
    paper=Paper(
        "Accelerating Very Deep Convolutional Networks for Classification and Detection",
        "Zhang et al.",
        2015,
        arxiv="1505.06798",
        checked="full rank gives the layer, and the error of a truncation is the tail of the singular values (Eckart, "
        "Young, 1936); values from the weights alone, not from the fit to a layer's responses that the paper adds",
    ),
)
class LowRank:
    """Factors linear layers and convolutions by their singular values, where two thin layers have fewer weights.

    A convolution becomes one with the same kernel and `rank` outputs, followed by a 1×1 convolution. Grouped and
    transposed convolutions, tied weights and layers that other code reads stay dense. The factors come from the
    trained weights when the sparsify phase begins, and are trained in it.
    """

    rank: Any = slot("rank", "budget", "energy", "greedy", default="budget", doc="how many dimensions each layer keeps")
