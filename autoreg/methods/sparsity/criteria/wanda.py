"""Weights and activations."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from autoreg.errors import InputError
from autoreg.methods.base import method
from autoreg.methods.sparsity.criteria.stats import Stats
from autoreg.space.spec import Paper

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@method(
    "wanda",
    kind="criterion",
    catalogue=[116],
    paper=Paper(
        "A Simple and Effective Pruning Approach for Large Language Models",
        "Sun et al.",
        2023,
        arxiv="2306.11695",
        checked="scores by hand on linear layers; input norms of convolutions against unfold",
    ),
)
class Wanda:
    """Scores a weight by |W_ij|·‖X_j‖₂, X_j the input that it multiplies; linear layers compare inside each output row.

    All layers are scored on the dense network's inputs, where the paper goes layer by layer on the inputs of the
    layers sparsified before. A convolution's inputs are the patches under its kernel; its weights compare layer-wide.
    """

    needs: ClassVar[tuple[str, ...]] = ("inputs",)
    comparison: ClassVar[str] = "row"

    def score(self, weight: Tensor, stats: Stats | None = None, generator: torch.Generator | None = None) -> Tensor:
        """The scores, shaped like the weight.

        Raises:
            InputError: without input norms.
        """
        if stats is None or stats.input_norm is None:
            raise InputError("criterion 'wanda' needs the norms of the inputs: collect(..., needs=('inputs',))")
        return weight.abs() * stats.input_norm
