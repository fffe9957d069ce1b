"""Self-distillation from the last epoch: a network is its own teacher."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, ClassVar

from autoreg.errors import InputError
from autoreg.lazy import lazy_module
from autoreg.methods.base import method
from autoreg.methods.state import State
from autoreg.methods.teacher.dense import check_classes
from autoreg.space.spec import Paper, uniform
from autoreg.tasks.batches import logits_of

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = lazy_module("torch")

_KEY = "ps_kd"


def soft_cross_entropy(logits: Tensor, probabilities: Tensor) -> Tensor:
    """Cross entropy against soft targets, its mean over all but the last dimension; a scalar.

    Args:
        logits: [..., classes].
        probabilities: [..., classes], each summing to 1.
    """
    return -(probabilities * torch.log_softmax(logits, dim=-1)).sum(dim=-1).mean()


@method(
    "ps_kd",
    kind="teacher",
    catalogue=[11],
    resumable=False,
    phrase=("learns from its last epoch", "weight {weight}"),
    paper=Paper(
        "Self-Knowledge Distillation with Progressive Refinement of Targets",
        "Kim et al.",
        2021,
        arxiv="2006.12000",
        checked="targets by hand, the growing weight against the authors' code, read; the last epoch's network is "
        "asked as it stands, where the authors store what it said while it was trained",
    ),
)
class ProgressiveSelfDistillation:
    """Softens targets with what the network of the last epoch says, more from epoch to epoch.

    In epoch t of T, counted from 1, the target is (1 − a) × the true one + a × the last epoch's probabilities, with
    a = weight × t / T. The first epoch of a phase has no last one and learns the true targets.
    """

    outputs: ClassVar[tuple[str, ...]] = ("classes",)

    weight: float = uniform(0.3, 0.9, default=0.8, min=0.0, max=1.0, doc="of the last epoch's network, at the end")

    def loss(self, state: State) -> Tensor:
        """What is added to the task's loss.

        Raises:
            InputError: outputs are no logits over classes, or nobody said how the model is called.
        """
        base, logits = state.base_loss, state.logits()
        assert base is not None
        check_classes("ps_kd", logits)
        if state.forward is None:
            raise InputError("ps_kd: nobody said how the model is called with a batch")
        epoch, last = state.scratch.get(_KEY, (0, None))
        if state.epoch != epoch:  # the first step of an epoch: the network is still what the last one left
            last = copy.deepcopy(state.model).eval()
            state.scratch[_KEY] = (state.epoch, last)
        if last is None:
            return base.new_zeros(())
        with torch.no_grad():
            before = torch.softmax(logits_of(state.forward(last, state.batch)), dim=-1)
        return self.weight * (state.epoch + 1) / state.epochs * (soft_cross_entropy(logits, before) - base)
