"""The bits of weights, as what distortion curves are measured of."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from autoreg.lazy import lazy_module
from autoreg.methods.quantization.rtn import Rtn
from autoreg.methods.quantization.settings import scale_axis
from autoreg.methods.sparsity.criteria.magnitude import Magnitude
from autoreg.methods.sparsity.structures.structure import Network
from autoreg.network.weights import weight_of
from autoreg.sensitivity.ladder import Ladder

if TYPE_CHECKING:
    from torch import Tensor, nn

    from autoreg.methods.modules import quantizers as modules
    from autoreg.sensitivity import curves
else:
    modules = lazy_module("autoreg.methods.modules.quantizers")
    curves = lazy_module("autoreg.sensitivity.curves")

MEASURED_BITS = (8, 7, 6, 5, 4, 3, 2)


@dataclass(frozen=True)
class WeightBits:
    """Weights rounded to few bits, without training.

    Attributes:
        granularity: one scale per `tensor` or per output `channel`.
        symmetric: zero point 0, else an integer zero point.
        criterion: scores the weights, for guesses before anything is measured.
    """

    granularity: str
    symmetric: bool
    criterion: Any = field(default_factory=Magnitude)

    @property
    def measured(self) -> tuple[str, Mapping[str, Any]]:
        """Name and settings that distortion curves depend on, as plain data."""
        return "bits", {"granularity": self.granularity, "symmetric": self.symmetric}

    def ladder(self, network: Network, scores: Mapping[str, Tensor], example_input: Any) -> Ladder:
        """Every layer rounded alone, at every number of bits."""
        names = [layer.name for layer in network.profile.layers if not layer.shared]
        compress = partial(_rounded, granularity=self.granularity, symmetric=self.symmetric)
        levels = {name: list(MEASURED_BITS) for name in names}
        return Ladder(levels, scores, compress, from_dense=False, guess=_rounding_distortion)


def _rounding_distortion(squares: Tensor, bits: int) -> float:
    """A quarter of the squared weights for each further bit."""
    return float(squares.sum()) * 4.0**-bits


@contextlib.contextmanager
def _rounded(
    model: nn.Module, *, granularity: str, symmetric: bool, name: str, score: Tensor, level: int
) -> Iterator[nn.Module]:
    module = model.get_submodule(name)
    weight, axis = weight_of(module).detach(), scale_axis(module, granularity)
    rounded = modules.WeightQuantizer(weight, level, axis, symmetric=symmetric, rule=Rtn())(weight)
    with curves.weights_set(model, {name: rounded}):
        yield model
