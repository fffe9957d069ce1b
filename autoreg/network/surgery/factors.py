"""The shapes of two layers that stand in place of one. Loads without torch.

A weight of [out, in, *kernel], read as the matrix [out, in · kernel], becomes a first layer of `rank` outputs with
the kernel of the whole, and a second one from there to `out` at a single position. The first has no bias.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod


def factor_names(name: str) -> tuple[str, str]:
    """Names of the two layers that stand in place of the layer `name`."""
    return f"{name}.0", f"{name}.1"


def factor_shapes(shape: Sequence[int], rank: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Shapes of the two weights.

    >>> factor_shapes((16, 8, 3, 3), 4)
    ((4, 8, 3, 3), (16, 4, 1, 1))
    """
    return (rank, *shape[1:]), (shape[0], rank, *[1] * len(shape[2:]))


def full_rank(shape: Sequence[int]) -> int:
    """The largest rank that a weight of this shape can have: min(out, in · kernel)."""
    return min(shape[0], prod(shape[1:]))


def factored_weights(shape: Sequence[int], rank: int) -> int:
    """Weights of both factors together: rank · (out + in · kernel)."""
    return rank * (shape[0] + prod(shape[1:]))


def saves(shape: Sequence[int], rank: int) -> bool:
    """Whether the factors have fewer weights than the layer.

    >>> saves((16, 8, 3, 3), 13), saves((16, 8, 3, 3), 14)
    (True, False)
    """
    return factored_weights(shape, rank) < prod(shape)
