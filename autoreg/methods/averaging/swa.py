"""Stochastic weight averaging."""

from __future__ import annotations

import math

from autoreg.methods.averaging.weights import SCRATCH, Weights, copied, ends_epoch, interpolate, live_weights
from autoreg.methods.base import method
from autoreg.methods.state import State
from autoreg.space.spec import Paper, uniform


@method(
    "swa",
    kind="averaging",
    resumable=False,
    phrase=("mean of all epochs after {start:%}",),
    paper=Paper(
        "Averaging Weights Leads to Wider Optima and Better Generalization",
        "Izmailov et al.",
        2018,
        arxiv="1803.05407",
        checked="mean of the epochs' ends by hand; the rate is that of the recipe's schedule, where the paper has a "
        "constant or cyclical one of its own: `constant_cooldown` is near",
    ),
)
class Swa:
    """Scores the mean of the weights at the end of every epoch of the last part of a phase.

    The last epoch always counts. The weights that are trained stay as they are.
    """

    start: float = uniform(0.5, 0.9, default=0.75, min=0.0, max=1.0, doc="part of the phase after which it begins")

    def prepare(self, state: State) -> None:
        """Nothing is averaged yet."""
        state.scratch[SCRATCH] = {"count": 0, "mean": {}}

    def after_step(self, state: State) -> None:
        """Add the weights at the end of an epoch to the mean."""
        ended = (state.step + 1) // max(1, state.steps_per_epoch)
        first = min(state.epochs, math.floor(self.start * state.epochs) + 1)
        if not ends_epoch(state) or ended < first:
            return
        count, mean = state.scratch[SCRATCH]["count"] + 1, state.scratch[SCRATCH]["mean"]
        live = live_weights(state.model)
        mean = copied(live) if count == 1 else interpolate(mean, live, 1.0 / count)
        state.scratch[SCRATCH] = {"count": count, "mean": mean}

    def average(self, state: State) -> Weights | None:
        """The mean so far; None before it begins."""
        found: Weights = state.scratch[SCRATCH]["mean"]
        return found or None
