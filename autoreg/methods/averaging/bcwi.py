"""Interpolation between the weights before and after a phase."""

from __future__ import annotations

from autoreg.methods.averaging.weights import SCRATCH, Weights, copied, interpolate, live_weights
from autoreg.methods.base import method
from autoreg.methods.state import State
from autoreg.space.spec import Paper, uniform


@method(
    "bcwi",
    kind="averaging",
    catalogue=[231],
    phrase=("{old:%} old weights",),
    conflicts=(
        (
            "training.start == 'scratch' and training.epochs > 0",
            "averaging: bcwi keeps a part of the weights that training begins with, which are random where it begins "
            "from scratch; use training.start: pretrained, or another average",
        ),
    ),
    paper=Paper(
        "Backward Compatibility During Data Updates by Weight Interpolation",
        "Schumann et al.",
        2023,
        arxiv="2301.10546",
        checked="interpolation by hand; plain BCWI, without the variant that weights by Fisher information",
    ),
)
class Bcwi:
    """Scores a * old + (1 - a) * new: the weights that a phase begins with, and those that it trains.

    So what a network got right before it was trained on, it is less likely to get wrong.
    """

    old: float = uniform(0.1, 0.5, default=0.3, min=0.0, max=1.0, doc="part of the old weights")

    def prepare(self, state: State) -> None:
        """Remember the old weights."""
        state.scratch[SCRATCH] = copied(live_weights(state.model))

    def average(self, state: State) -> Weights | None:
        """Old and new weights, interpolated."""
        return interpolate(live_weights(state.model), state.scratch[SCRATCH], self.old)
