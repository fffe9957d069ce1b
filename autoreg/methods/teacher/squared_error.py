"""The network learns a teacher's outputs as numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from autoreg.methods.base import method
from autoreg.methods.state import State
from autoreg.methods.teacher.dense import LearnsFromDense
from autoreg.space.spec import Paper

if TYPE_CHECKING:
    from torch import Tensor


@method(
    "squared_error",
    kind="teacher",
    phrase=("regressed on {of}", "weight {weight}"),
    paper=Paper(
        "Do Deep Nets Really Need to be Deep?",
        "Ba, Caruana",
        2014,
        arxiv="1312.6184",
        checked="value by hand (equation 2, but for its factor of a half); a mean over outputs, where the paper sums",
    ),
)
class SquaredError(LearnsFromDense):
    """Learns a teacher's outputs, numbers or logits, by their mean squared error, beside the targets.

    The loss becomes (1 − weight) × the task's own + weight × the mean squared difference to the teacher.
    """

    outputs: ClassVar[tuple[str, ...]] = ("classes", "values")

    def loss(self, state: State) -> Tensor:
        """What is added to the task's loss.

        Raises:
            InputError: there is no teacher.
        """
        base = state.base_loss
        assert base is not None
        return self.weight * ((state.logits() - state.teacher_outputs()).square().mean() - base)
