"""How far each layer of a model is compressed, as plain data. Loads without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from autoreg.errors import InputError
from autoreg.network.surgery.factors import factor_names

Granularity = Literal["tensor", "channel"]


@dataclass(frozen=True)
class Levels:
    """Levels of compression of one model; what is not named stays dense and in floating point.

    Args:
        dropped: Names of dropped blocks.
        channels: Channels that stay, by channel group of the model *after* the blocks are dropped
            (`autoreg.costs.predict.groups_after` lists them).
        retained: Weights that a mask lets stay, by layer, among those that stand after channel removal. Of a factored
            layer it is said by factor.
        weight_bits: Bits of a weight by layer, 1 to 32; 32 is floating point.
        activation_bits: Bits of the activations that enter a layer, 1 to 32.
        granularity: Whether integer weights have one scale per tensor or per output channel.
        symmetric: Whether integer weights go without zero points.
        ranks: Rank of the layers in whose place two stand, by name of the dense layer. Their bits are said of NAME,
            for both factors, or of NAME.0 and NAME.1.
    """

    dropped: tuple[str, ...] = ()
    channels: Mapping[str, int] = field(default_factory=dict)
    retained: Mapping[str, int] = field(default_factory=dict)
    weight_bits: Mapping[str, int] = field(default_factory=dict)
    activation_bits: Mapping[str, int] = field(default_factory=dict)
    granularity: Granularity = "channel"
    symmetric: bool = True
    ranks: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.granularity not in ("tensor", "channel"):
            raise InputError(f"levels: granularity is {self.granularity!r}; allowed: 'tensor', 'channel'")
        for part, bits in (("weight_bits", self.weight_bits), ("activation_bits", self.activation_bits)):
            for name, value in bits.items():
                if not 1 <= value <= 32:
                    raise InputError(f"levels: {part} of {name!r} is {value}; allowed: 1 to 32")

        for name, rank in self.ranks.items():
            if rank < 1:
                raise InputError(f"levels: rank of {name!r} is {rank}; allowed: 1 or more")

    def spread(self) -> Levels:
        """The same levels with the bits of factored layers said of their factors, as the finished model names them.

        >>> Levels(ranks={"fc": 2}, weight_bits={"fc": 4, "head": 8}).spread().weight_bits
        {'fc.0': 4, 'fc.1': 4, 'head': 8}
        """
        if not self.ranks:
            return self
        bits = [_spread(part, self.ranks) for part in (self.weight_bits, self.activation_bits)]
        return replace(self, weight_bits=bits[0], activation_bits=bits[1])

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "dropped": list(self.dropped),
            "channels": dict(self.channels),
            "retained": dict(self.retained),
            "weight_bits": dict(self.weight_bits),
            "activation_bits": dict(self.activation_bits),
            "granularity": self.granularity,
            "symmetric": self.symmetric,
            "ranks": dict(self.ranks),
        }


def _spread(bits: Mapping[str, int], ranks: Mapping[str, int]) -> dict[str, int]:
    found: dict[str, int] = {}
    for name, value in bits.items():
        if name in ranks:
            found |= {factor: bits.get(factor, value) for factor in factor_names(name)}
        else:
            found[name] = value
    return found
