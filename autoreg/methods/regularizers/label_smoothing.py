"""Label smoothing that is switched off before training ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autoreg.errors import InputError
from autoreg.lazy import lazy_module
from autoreg.methods.base import method
from autoreg.methods.state import State
from autoreg.space.spec import Paper, uniform

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = lazy_module("torch")


def uniform_cross_entropy(logits: Tensor) -> Tensor:
    """Cross entropy with the uniform target: mean over samples and classes of −log p, a scalar.

    Args:
        logits: [..., classes].
    """
    return -torch.log_softmax(logits, dim=-1).mean()


@method(
    "label_smoothing",
    kind="regularizer",
    catalogue=[2],
    resumable=False,
    paper=Paper(
        "Towards Understanding Label Smoothing",
        "Xu et al.",
        2020,
        arxiv="2006.11653",
        checked="equals torch's cross entropy with label_smoothing",
    ),
)
class LabelSmoothing:
    """Smooths the targets by theta for the first part of training, then trains on the plain ones.

    Works as the term theta × (mean_k(−log p_k) − CE), so the task's own loss must be a mean cross entropy
    over classes in the last dimension of the logits.
    """

    theta: float = uniform(0.02, 0.3, default=0.1, min=0.0, max=0.999, doc="share of the target spread evenly")
    switch_off: float = uniform(0.5, 1.0, default=0.8, min=0.0, max=1.0, doc="share of training after which it ends")

    def loss(self, state: State) -> Tensor:
        """The term; zero once switched off.

        Raises:
            InputError: if the logits are not floating point with two or more classes.
        """
        base = state.base_loss
        assert base is not None
        if state.progress >= self.switch_off:
            return base.new_zeros(())
        logits = state.logits()
        if not logits.is_floating_point() or logits.ndim < 2 or logits.shape[-1] < 2:
            raise InputError(
                f"label_smoothing: the model's output has shape {tuple(logits.shape)}; "
                "it needs logits over two or more classes in the last dimension"
            )
        return self.theta * (uniform_cross_entropy(logits) - base)
