"""The distortion of one layer over its levels. Loads without torch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Curve:
    """Distortion of the network's outputs when one layer is at a level and the others are dense.

    Attributes:
        levels: bits of its weight, or how many of its weights or channels stay; from most to least.
        mse: mean squared difference of the logits, by level.
        kl: mean divergence from the dense probabilities, in nats, by level.
    """

    levels: tuple[int, ...]
    mse: tuple[float, ...]
    kl: tuple[float, ...]

    @property
    def distortion(self) -> tuple[float, ...]:
        """What programs add up: the divergence, or the squared difference where there is one output only."""
        return self.kl if any(self.kl) else self.mse
