"""Only the normalization layers are trained."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from autoreg.errors import InputError
from autoreg.methods.base import method
from autoreg.methods.layers.selectors import Gradients, head_parameters, is_norm, own_parameters
from autoreg.space.spec import Paper

if TYPE_CHECKING:
    from torch import nn


@method(
    "norm_only",
    kind="train",
    catalogue=[210],
    paper=Paper(
        "On the Effectiveness of LayerNorm Tuning for Continual Learning in Vision Transformers",
        "De Min et al.",
        2023,
        arxiv="2308.09610",
        checked="names of the trained parameters by hand",
    ),
)
class NormOnly:
    """Trains gains and biases of the normalization layers, and the head (the last weighted layer); freezes the rest."""

    needs: ClassVar[tuple[str, ...]] = ()

    def select(self, model: nn.Module, gradients: Gradients | None = None) -> set[str]:
        """Names of the parameters to train.

        Raises:
            InputError: if the model has no normalization layer with parameters.
        """
        norms = {p for name, module in model.named_modules() if is_norm(module) for p in own_parameters(name, module)}
        if not norms:
            raise InputError("layers.train: norm_only, but the model has no normalization layer with parameters")
        return norms | head_parameters(model)
