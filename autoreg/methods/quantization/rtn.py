"""Rounding to the nearest value of a fixed grid."""

from __future__ import annotations

from autoreg.methods.base import method
from autoreg.methods.quantization.uniform import UniformQuantizer
from autoreg.space.spec import Paper


@method(
    "rtn",
    kind="quantizer",
    phrase=(),
    catalogue=[191],  # the nearest: a grouping on top of round-to-nearest
    paper=Paper(
        "Quantizing deep convolutional networks for efficient inference: A whitepaper",
        "Krishnamoorthi",
        2018,
        arxiv="1806.08342",
        checked="error at most half a step, zeros stay zero, codes by hand",
    ),
)
class Rtn(UniformQuantizer):
    """Rounds to the nearest point of a uniform grid over the range of weights and calibration inputs. No training."""
