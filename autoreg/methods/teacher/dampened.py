"""A step of self-distillation that the true targets dampen, its weight in closed form."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from autoreg.errors import InputError
from autoreg.methods.base import method
from autoreg.methods.state import State
from autoreg.methods.teacher.dense import check_classes
from autoreg.methods.teacher.ps_kd import soft_cross_entropy
from autoreg.space.spec import Paper, choice, fixed

if TYPE_CHECKING:
    from torch import Tensor


def truth_weight(targets: Tensor, first: Tensor, second: Tensor) -> float:
    """The weight a in [0, 1] of the true targets with which a step of self-distillation predicts best.

    A linear smoother that is fitted to a × the targets + (1 − a) × its own first fit is a × the first fit + (1 − a) ×
    the second, the fit to the first. So the squared error on data that neither saw is least at
    a = ⟨y − second, first − second⟩ / ‖first − second‖².

    Args:
        targets: y on data that was not fitted, any shape.
        first: what the fit to the targets says there.
        second: what the fit to the first one's outputs says there.
    """
    apart = first - second
    scale = float(apart.square().sum())
    return min(max(float(((targets - second) * apart).sum()) / scale, 0.0), 1.0) if scale > 0 else 1.0


@method(
    "dampened",
    kind="teacher",
    catalogue=[28],
    phrase=("self-distilled, dampened",),
    paper=Paper(
        "Even your Teacher Needs Guidance: Ground-Truth Targets Dampen Regularization Imposed by Self-Distillation",
        "Borup, Andersen",
        2021,
        arxiv="2102.13088",
        checked="the weight against ridge regressions fitted one by one; for networks the two fits are two dense "
        "trainings, probabilities are compared, and cross entropy is trained where the authors' code has squared error",
    ),
)
class DampenedSelfDistillation:
    """Learns a × the true targets + (1 − a) × the dense network's probabilities, with the a that predicts best.

    One step: the dense network is trained on the targets, and again on the first one's probabilities alone; where they
    and the targets lie on the calibration split gives a in closed form (`truth_weight`), for networks approximately.
    """

    outputs: ClassVar[tuple[str, ...]] = ("classes",)

    of: str = choice("dense", doc="whose outputs are mixed with the targets")
    again: bool = fixed(True, doc="that the dense network is trained again on its own outputs")

    def check(self) -> None:
        """Refuse what would not be the method.

        Raises:
            InputError: the second training is left out.
        """
        if not self.again:
            raise InputError("teacher 'dampened': again = False; allowed: True, or another method")

    def loss(self, state: State) -> Tensor:
        """What is added to the task's loss.

        Raises:
            InputError: there is no teacher, or none that says how much the targets count.
        """
        base, logits = state.base_loss, state.logits()
        assert base is not None
        check_classes("dampened", logits)
        said = state.teacher_outputs().softmax(dim=-1)
        truth: float | None = getattr(state.teacher, "truth", None)
        if truth is None:
            raise InputError("dampened: the teacher has no `truth`, the weight of the true targets in [0, 1]")
        return (1.0 - truth) * (soft_cross_entropy(logits, said) - base)
