"""Knowledge distillation: the network learns the softened probabilities of a teacher."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from autoreg.lazy import lazy_module
from autoreg.methods.base import method
from autoreg.methods.state import State
from autoreg.methods.teacher.dense import LearnsFromDense, check_classes
from autoreg.space.spec import Paper, log

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = lazy_module("torch")


def distillation_loss(logits: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """T² · KL(softmax(teacher / T) ‖ softmax(logits / T)), its mean over all but the last dimension; a scalar.

    The factor keeps gradients of one size whatever T is: towards high temperatures the gradient by the logits becomes
    that of half their mean squared distance to the teacher's, both centred.

    Args:
        logits: of the network, [..., classes].
        teacher: of the teacher, [..., classes].
        temperature: T, above 0.
    """
    known = torch.log_softmax(teacher / temperature, dim=-1)
    learned = torch.log_softmax(logits / temperature, dim=-1)
    return temperature**2 * (known.exp() * (known - learned)).sum(dim=-1).mean()


@method(
    "kd",
    kind="teacher",
    phrase=("distilled from {of}", "T {temperature}", "weight {weight}"),
    paper=Paper(
        "Distilling the Knowledge in a Neural Network",
        "Hinton et al.",
        2015,
        arxiv="1503.02531",
        checked="value and gradient at temperature 1 and in the limit of high ones (section 2, equations 2 to 4)",
    ),
)
class KnowledgeDistillation(LearnsFromDense):
    """Learns a teacher's probabilities at a temperature, beside the targets.

    The loss becomes (1 − weight) × the task's own + weight × `distillation_loss`. The mean of several teachers is that
    of their logits: the geometric mean of their probabilities, which the paper names beside the arithmetic one, and the
    same at every temperature.
    """

    outputs: ClassVar[tuple[str, ...]] = ("classes",)

    temperature: float = log(1.0, 8.0, default=4.0, min=0.1, max=100.0, doc="what logits are divided by")

    def loss(self, state: State) -> Tensor:
        """What is added to the task's loss.

        Raises:
            InputError: there is no teacher, or outputs are no logits over classes.
        """
        base, logits = state.base_loss, state.logits()
        assert base is not None
        check_classes("kd", logits)
        return self.weight * (distillation_loss(logits, state.teacher_outputs(), self.temperature) - base)
