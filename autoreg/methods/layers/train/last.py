"""The last layers are trained."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from autoreg.methods.base import method
from autoreg.methods.layers.selectors import Gradients, head_parameters, own_parameters
from autoreg.methods.weights import weighted_layers
from autoreg.space.spec import Paper, integer

if TYPE_CHECKING:
    from torch import nn


@method(
    "last",
    kind="train",
    catalogue=[162, 221],
    paper=Paper(
        "Reassessing Layer Pruning in LLMs: New Insights and Methods",
        "Lu et al.",
        2024,
        arxiv="2411.15558",
        checked="names of the trained parameters by hand",
    ),
)
class Last:
    """Trains the last `count` weighted layers and what stands behind the first of them (norms); the rest is frozen."""

    count: int = integer(1, 6, max=10_000, doc="weighted layers that are trained")
    needs: ClassVar[tuple[str, ...]] = ()

    def select(self, model: nn.Module, gradients: Gradients | None = None) -> set[str]:
        """Names of the parameters to train; all where the model has no more layers than `count`.

        Raises:
            InputError: if the model has no weighted layer.
        """
        head = head_parameters(model)
        layers = weighted_layers(model)
        if self.count >= len(layers):
            return {name for name, _ in model.named_parameters()}
        first = layers[-self.count][1]
        chosen: set[str] = set()
        begun = False
        for name, module in model.named_modules():
            begun = begun or module is first
            if begun:
                chosen.update(own_parameters(name, module))
        return chosen | head
