"""Chance."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from autoreg.errors import InputError
from autoreg.lazy import lazy_module
from autoreg.methods.base import method
from autoreg.methods.sparsity.criteria.stats import Stats
from autoreg.space.spec import Paper

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = lazy_module("torch")


@method(
    "random",
    kind="criterion",
    catalogue=[115],
    paper=Paper(
        "The Unreasonable Effectiveness of Random Pruning",
        "Liu et al.",
        2022,
        arxiv="2202.02643",
        checked="repeatable from its generator",
    ),
)
class Random:
    """Scores every weight by an even random number in [0, 1): the control that any other criterion must beat."""

    needs: ClassVar[tuple[str, ...]] = ()
    comparison: ClassVar[str] = "layer"

    def score(self, weight: Tensor, stats: Stats | None = None, generator: torch.Generator | None = None) -> Tensor:
        """Random numbers shaped like the weight.

        Raises:
            InputError: without a generator.
        """
        if generator is None:
            raise InputError("criterion 'random' needs a generator")
        numbers = torch.rand(weight.shape, generator=generator, device=generator.device)
        return numbers.to(weight.device)
