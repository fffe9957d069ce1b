"""Everything is trained."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from autoreg.methods.base import method
from autoreg.methods.layers.selectors import Gradients
from autoreg.space.spec import Paper

if TYPE_CHECKING:
    from torch import nn


@method(
    "all",
    kind="train",
    phrase=(),
    catalogue=[203],  # the row's point of comparison
    paper=Paper(
        "How transferable are features in deep neural networks?",
        "Yosinski et al.",
        2014,
        arxiv="1411.1792",
        checked="names all parameters",
    ),
)
class All:
    """Trains every parameter."""

    needs: ClassVar[tuple[str, ...]] = ()

    def select(self, model: nn.Module, gradients: Gradients | None = None) -> set[str]:
        """Names of all parameters."""
        return {name for name, _ in model.named_parameters()}
