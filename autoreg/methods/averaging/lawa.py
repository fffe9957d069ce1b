"""The mean of the latest checkpoints."""

from __future__ import annotations

from autoreg.methods.averaging.weights import SCRATCH, Weights, copied, ends_epoch, interpolate, live_weights
from autoreg.methods.base import method
from autoreg.methods.state import State
from autoreg.space.spec import Paper, integer


def mean_of(checkpoints: list[Weights]) -> Weights:
    """The mean of weights by name, taken one after another; exact where all are equal.

    Args:
        checkpoints: at least one; all of the same names and shapes.
    """
    mean = checkpoints[0]
    for count, checkpoint in enumerate(checkpoints[1:], 2):
        mean = interpolate(mean, checkpoint, 1.0 / count)
    return mean


@method(
    "lawa",
    kind="averaging",
    catalogue=[233],
    phrase=("mean of {count} checkpoints",),
    paper=Paper(
        "Early Weight Averaging meets High Learning Rates for LLM Pre-training",
        "Sanyal et al.",
        2023,
        arxiv="2306.03241",
        checked="mean of the last checkpoints by hand; they lie an epoch apart, where the paper spaces them by steps",
    ),
)
class Lawa:
    """Scores the mean of the weights at the ends of the last epochs of a phase, of fewer at its beginning.

    The weights that are trained stay as they are.
    """

    count: int = integer(2, 6, default=4, min=1, max=100, doc="checkpoints that are averaged, one at each epoch's end")

    def prepare(self, state: State) -> None:
        """There are no checkpoints yet."""
        state.scratch[SCRATCH] = []

    def after_step(self, state: State) -> None:
        """Keep the weights at the end of an epoch, and let the oldest go."""
        if ends_epoch(state):
            checkpoints = [*state.scratch[SCRATCH], copied(live_weights(state.model))]
            state.scratch[SCRATCH] = checkpoints[-self.count :]

    def average(self, state: State) -> Weights | None:
        """The mean of the latest checkpoints; None within the first epoch."""
        checkpoints: list[Weights] = state.scratch[SCRATCH]
        return mean_of(checkpoints) if checkpoints else None
