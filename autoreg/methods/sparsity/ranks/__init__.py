"""Ranks: how many dimensions each layer of a factored network keeps.

A rule has `needs`, what it looks at: nothing, or the `spectra` of a reference; and
`ranks(layers, spectra) -> {name: rank}`, from 1 to min(outputs, inputs · kernel). A layer whose two factors would not
have fewer weights than itself stays dense.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from autoreg.errors import InputError
from autoreg.methods.sparsity.allocations.shapes import LayerShape

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["spectra_of"]


def spectra_of(rule: str, layers: Sequence[LayerShape], spectra: Mapping[str, Tensor] | None) -> list[Tensor]:
    """The squared singular values of the layers, in their order.

    Raises:
        InputError: where there are none, of a layer or at all.
    """
    if spectra is None:
        raise InputError(f"rank {rule!r} needs the singular values of a reference")
    missing = [layer.name for layer in layers if layer.name not in spectra]
    if missing:
        raise InputError(f"rank {rule!r}: no singular values for {', '.join(missing)}")
    return [spectra[layer.name] for layer in layers]
