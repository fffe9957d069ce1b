"""An exponential moving average of the weights."""

from __future__ import annotations

import math

from autoreg.methods.averaging.weights import SCRATCH, Weights, copied, interpolate, live_weights
from autoreg.methods.base import method
from autoreg.methods.state import State
from autoreg.space.spec import Paper, log


def decay_per_step(horizon: float, steps_per_epoch: int) -> float:
    """Factor by which a weight of an earlier step counts less after one more: exp(-1 / (horizon * steps_per_epoch)).

    Args:
        horizon: epochs after which it counts 1/e; positive.
        steps_per_epoch: at least 1.

    Example:
        >>> round(decay_per_step(0.5, 20), 4)
        0.9048
    """
    return math.exp(-1.0 / (horizon * max(1, steps_per_epoch)))


@method(
    "ema",
    kind="averaging",
    catalogue=[235],
    phrase=("ema over {horizon} epochs",),
    paper=Paper(
        "Momentum-based Weight Interpolation of Strong Zero-Shot Models for Continual Learning",
        "Stojanovski, Roth, Akata",
        2022,
        arxiv="2211.03186",
        checked="closed form of the recursion; the slow weights are scored and never trained on. The factor is given "
        "by a horizon in epochs, where the paper gives it by step, so that it means the same for batches of any size",
    ),
)
class Ema:
    """Scores slow weights: slow <- a slow + (1 - a) fast after each step, from the weights that the phase begins with.

    The weights that are trained stay as they are.
    """

    horizon: float = log(0.1, 2.0, default=0.5, min=1e-3, max=100.0, doc="epochs after which a step counts 1/e")

    def prepare(self, state: State) -> None:
        """The slow weights begin as those of the phase."""
        state.scratch[SCRATCH] = copied(live_weights(state.model))

    def after_step(self, state: State) -> None:
        """Move the slow weights towards the fast ones."""
        part = 1.0 - decay_per_step(self.horizon, state.steps_per_epoch)
        state.scratch[SCRATCH] = interpolate(state.scratch[SCRATCH], live_weights(state.model), part)

    def average(self, state: State) -> Weights | None:
        """The slow weights; None before the first step."""
        slow: Weights = state.scratch[SCRATCH]
        return slow if state.step > 0 else None
