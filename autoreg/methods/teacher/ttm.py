"""Transformed teacher matching: the temperature acts on the teacher alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from autoreg.lazy import lazy_module
from autoreg.methods.base import method
from autoreg.methods.state import State
from autoreg.methods.teacher.dense import LearnsFromDense, check_classes
from autoreg.space.spec import Paper, choice, log

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = lazy_module("torch")


def matching_loss(logits: Tensor, teacher: Tensor, temperature: float, *, weighted: bool) -> Tensor:
    """KL(p_T ‖ softmax(logits)) for the teacher's softened p_T = softmax(teacher / T); a scalar, the mean over samples.

    p_T is the teacher's p to the power 1 / T, normalized. Weighted, each sample counts by the sum over classes of
    p to the power 1 / T, which is large where the teacher's probabilities are spread.

    Args:
        logits: of the network, [..., classes].
        teacher: of the teacher, [..., classes].
        temperature: T, above 0.
        weighted: whether samples count by their power sum.
    """
    powers = torch.log_softmax(teacher, dim=-1) / temperature
    total = torch.logsumexp(powers, dim=-1, keepdim=True)
    known = powers - total
    divergence = (known.exp() * (known - torch.log_softmax(logits, dim=-1))).sum(dim=-1)
    return (total.squeeze(-1).exp() * divergence).mean() if weighted else divergence.mean()


@method(
    "ttm",
    kind="teacher",
    catalogue=[7],
    phrase=("matched to {of}", "T {temperature}", "weight {weight}"),
    paper=Paper(
        "Knowledge Distillation Based on Transformed Teacher Matching",
        "Zheng, Yang",
        2024,
        arxiv="2402.11148",
        checked="equals KD plus the Rényi term of its derivation; the weighted form against the authors' code, read",
    ),
)
class TransformedTeacherMatching(LearnsFromDense):
    """Learns a teacher's softened probabilities with the network's own left at temperature 1.

    The loss becomes (1 − weight) × the task's own + weight × `matching_loss`; the paper weighs the second term alone,
    which is the same up to the learning rate.
    """

    outputs: ClassVar[tuple[str, ...]] = ("classes",)

    temperature: float = log(1.0, 4.0, default=2.0, min=0.1, max=100.0, doc="what the teacher's logits are divided by")
    weighted: bool = choice(True, False, doc="whether samples count by the spread of the teacher's answer (WTTM)")

    def loss(self, state: State) -> Tensor:
        """What is added to the task's loss.

        Raises:
            InputError: there is no teacher, or outputs are no logits over classes.
        """
        base, logits = state.base_loss, state.logits()
        assert base is not None
        check_classes("ttm", logits)
        found = matching_loss(logits, state.teacher_outputs(), self.temperature, weighted=self.weighted)
        return self.weight * (found - base)
