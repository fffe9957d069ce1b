"""The levels at which layers are measured, and what brings one layer to one of them. Loads without torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor, nn

MEASURED_AMOUNTS = (0.0, 0.3, 0.5, 0.65, 0.75, 0.82, 0.88, 0.92, 0.95, 0.97, 0.985, 1 - 1e-9)
"""Shares removed at which every layer is measured, denser where distortion grows fast; at the last as much goes as can.
"""

Variant = Callable[["nn.Module"], AbstractContextManager["nn.Module"]]
"""Makes the compressed network of the dense one for as long as it is measured; the dense one is whole afterwards."""


def removed_distortion(squares: Tensor, level: int) -> float:
    """A guess without a look at any output: the sum of the lowest squares, of which `level` stay.

    Args:
        squares: squared scores, ascending, [n].
        level: 0 to n.
    """
    return float(squares[: len(squares) - level].sum())


@dataclass(frozen=True)
class Ladder:
    """What is measured of a network, one layer or channel group at one level at a time.

    Attributes:
        levels: by name, from most to least: bits, or how many weights or channels stay.
        scores: by name, what decides which of them go first; any shape.
        compress: called with model, name, score and level, a context in which that layer is at that level.
        from_dense: whether the first level of each is the dense network.
        guess: called with the ascending squared scores and a level, a distortion for checks that cost nothing.
    """

    levels: Mapping[str, list[int]]
    scores: Mapping[str, Tensor]
    compress: Callable[..., AbstractContextManager[nn.Module]]
    from_dense: bool = True
    guess: Callable[[Tensor, int], float] = removed_distortion

    def variants(self) -> dict[str, dict[int, Variant | None]]:
        """How every layer is brought to every level; None where that changes nothing."""
        return {name: {level: self._variant(name, level) for level in levels} for name, levels in self.levels.items()}

    def _variant(self, name: str, level: int) -> Variant | None:
        if self.from_dense and level == self.levels[name][0]:
            return None
        return partial(self.compress, name=name, score=self.scores[name], level=level)

    def guessed(self, name: str) -> list[float]:
        """Guessed distortions of one layer, by level."""
        squares = self.scores[name].flatten().double().square().sort()[0]
        return [self.guess(squares, level) for level in self.levels[name]]


def counts_ladder(counts: Mapping[str, set[int]], scores: Mapping[str, Tensor], compress: Any) -> Ladder:
    """The ladder of what is removed: counts that stay, most first.

    Args:
        counts: by name, how many may stay.
        scores: by name.
        compress: as in `Ladder`.
    """
    return Ladder({name: sorted(found, reverse=True) for name, found in counts.items()}, scores, compress)
