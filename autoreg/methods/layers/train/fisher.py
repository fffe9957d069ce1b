"""The layers with most Fisher information are trained."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from autoreg.errors import InputError
from autoreg.methods.base import method
from autoreg.methods.layers.selectors import Gradients, fisher_scores, head_parameters, layer_parameters
from autoreg.methods.weights import weighted_layers
from autoreg.space.spec import Paper, integer

if TYPE_CHECKING:
    from torch import nn


@method(
    "fisher",
    kind="train",
    catalogue=[203],
    paper=Paper(
        "On Surgical Fine-tuning for Language Encoders",
        "Lodha et al.",
        2023,
        arxiv="2310.17041",
        checked="scores by hand; the sum over a layer's parameters, as the catalogue has it",
    ),
)
class Fisher:
    """Trains the `count` weighted layers of highest empirical Fisher information, and the head.

    A layer's score is the diagonal of the Fisher matrix summed over its parameters, from per-sample gradients on
    calibration data. The head (the last weighted layer) is always trained and not counted. Norms are frozen.
    """

    count: int = integer(1, 6, max=10_000, doc="weighted layers that are trained beside the head")
    needs: ClassVar[tuple[str, ...]] = ("gradients",)

    def select(self, model: nn.Module, gradients: Gradients | None = None) -> set[str]:
        """Names of the parameters to train; of equal scores the layer that comes first.

        Raises:
            InputError: without gradients, or if there are no samples.
        """
        if gradients is None:
            raise InputError("train 'fisher' needs gradients on calibration data")
        head = head_parameters(model)
        scores = fisher_scores(gradients())
        names = [layer_parameters(name, module) for name, module in weighted_layers(model)[:-1]]
        ranked = sorted(names, key=lambda layer: -sum(scores.get(p, 0.0) for p in layer))
        return head.union(*ranked[: self.count])
