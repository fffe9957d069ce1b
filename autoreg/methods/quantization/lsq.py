"""Learned step size quantization."""

from __future__ import annotations

from typing import ClassVar

from autoreg.methods.base import method
from autoreg.space.spec import Paper


@method(
    "lsq",
    kind="quantizer",
    catalogue=[182],  # the nearest: builds on quantizers of this type
    trains=True,
    conflicts=[
        (
            "training.qat_epochs == 0",
            "lsq learns its steps in training: set training.qat_epochs to 1 or more, or use quantizer: rtn",
        )
    ],
    paper=Paper(
        "Learned Step Size Quantization",
        "Esser et al.",
        2019,
        arxiv="1902.08153",
        checked="gradients against finite differences of the surrogate and against equations 3 and 5",
    ),
)
class Lsq:
    """Quantization-aware training in which the step of every grid is learned with the weights.

    The first step is 2·mean|w| / √Q_p over the weights that the mask leaves. Without a symmetric grid, an integer
    zero point is fixed when the quantizer is attached and Q_n, Q_p count from there; so it is for inputs, where the
    paper's unsigned code is the case of inputs that are never negative.
    """

    learned: ClassVar[bool] = True
