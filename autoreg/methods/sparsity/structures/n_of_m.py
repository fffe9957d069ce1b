"""N weights of every M."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from autoreg.methods.base import method
from autoreg.methods.sparsity.allocations.shapes import LayerShape
from autoreg.methods.sparsity.counts import retained_nm
from autoreg.methods.sparsity.structures.masked import MaskedStructure
from autoreg.methods.sparsity.structures.picking import nm_mask, partial_mask
from autoreg.methods.sparsity.structures.structure import DenseReference
from autoreg.space.spec import Paper, slot

if TYPE_CHECKING:
    from torch import Tensor

_PAPER = Paper(
    "Accelerating Sparse Deep Neural Networks", "Mishra et al.", 2021, arxiv="2104.08378", checked="counts by hand"
)


class _NofM(MaskedStructure):
    """What the patterns share: groups of `m` weights, of which `n` stay."""

    n: ClassVar[int]
    m: ClassVar[int]
    criterion: Any = slot("criterion", "magnitude", "wanda", default="magnitude", doc="which weights go")
    schedule: Any = slot("schedule", "one_shot", "gradual", default="one_shot", doc="when they go")

    def retained(self, layers: Sequence[LayerShape], reference: DenseReference | None = None) -> dict[str, int]:
        """How many weights stay, by layer; those stay dense whose inputs × kernel are not divisible by `m`."""
        counts = {layer.name: retained_nm(layer.shape, self.n, self.m) for layer in layers}
        return {name: count for name, count in counts.items() if count is not None}

    def mask(self, scores: Tensor, retained: int | None = None) -> Tensor:
        """The weights of one layer that stay, as a bool tensor; with `retained`, so many on the way to the pattern."""
        pattern = nm_mask(scores, self.n, self.m)
        return pattern if retained is None else partial_mask(pattern, scores, retained)


@method("2:4", kind="structure", catalogue=[116, 111], paper=_PAPER, phrase=("2:4", "{criterion}", "{schedule}"))
class TwoOfFour(_NofM):
    """Keeps 2 of every 4 weights along the inputs; layers whose inputs × kernel are not divisible by 4 stay dense.

    A pattern that GPUs with sparse tensor cores run faster; elsewhere it is a mask.
    """

    zeros: ClassVar[str] = "2:4"
    n: ClassVar[int] = 2
    m: ClassVar[int] = 4


@method("4:8", kind="structure", catalogue=[116, 111], paper=_PAPER, phrase=("4:8", "{criterion}", "{schedule}"))
class FourOfEight(_NofM):
    """Keeps 4 of every 8 weights along the inputs; layers whose inputs × kernel are not divisible by 8 stay dense."""

    zeros: ClassVar[str] = "4:8"
    n: ClassVar[int] = 4
    m: ClassVar[int] = 8
