"""The arithmetic of costs: what a tensor weighs when packed, what a layer costs. Loads without torch.

A packed weight tensor of `count` weights, `retained` of them not masked, at `bits` bits each is the smallest of

* dense: ceil(bits * count / 8) bytes, zeros written out;
* bitmask: ceil(bits * retained / 8) + ceil(count / 8);
* index: ceil(bits * retained / 8) + ceil(retained * ceil(log2(count)) / 8), one position per retained weight,

plus, below 32 bits, a scale of 4 bytes and (unless symmetric) a zero point of 1 byte per tensor or per output
channel. Biases, other parameters and running statistics are 4 bytes each. Scales of activations, causal masks and
other constants of the graph are not counted, nor is entropy coding: the size of a file is a column of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import prod
from typing import Any

FLOAT_BITS = 32
FLOAT_BYTES = 4
SCALE_BYTES = 4
ZERO_POINT_BYTES = 1


# many arguments: a row of the table of layers, every figure of it counted
@dataclass(frozen=True)
class LayerCost:
    """What one layer costs per sample; `weight_count` weights stand, `retained` of them are not masked."""

    name: str
    type: str
    macs: int
    effective_macs: int
    bops: int
    weight_count: int
    retained: int
    bits: int
    activation_bits: int
    bytes: int
    dropped: bool
    shape: tuple[int, ...]

    @property
    def density(self) -> float:
        """Share of the standing weights that are not masked, 0 to 1 (0 for a dropped layer)."""
        return self.retained / self.weight_count if self.weight_count else 0.0


@dataclass(frozen=True)
class Costs:
    """What a model costs per sample; see `autoreg.costs` for the conventions."""

    flops: int
    effective_flops: int
    bops: int
    weights: int
    params: int
    bytes: int
    per_layer: tuple[LayerCost, ...] = ()

    def totals(self) -> dict[str, int]:
        """The totals by name, without the layers."""
        return {name: getattr(self, name) for name in TOTALS}

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {**self.totals(), "per_layer": [asdict(layer) for layer in self.per_layer]}


TOTALS = ("flops", "effective_flops", "bops", "weights", "params", "bytes")


def packed_bytes(count: int, retained: int, bits: int = FLOAT_BITS) -> int:
    """Bytes of a weight tensor without scales: the smallest of dense, bitmask and index packing.

    Args:
        count: Weights in the tensor, masked ones included.
        retained: Weights that are not masked, at most `count`.
        bits: Bits of one weight, 1 to 32.

    Example:
        >>> packed_bytes(100, 100, 8), packed_bytes(100, 50, 8), packed_bytes(100, 4, 8), packed_bytes(100, 90, 2)
        (100, 63, 8, 25)
    """
    dense = (bits * count + 7) // 8
    if retained == count:
        return dense
    positions = min((count + 7) // 8, (retained * (count - 1).bit_length() + 7) // 8)
    return min(dense, (bits * retained + 7) // 8 + positions)


def scale_bytes(out_channels: int, bits: int, granularity: str, symmetric: bool) -> int:
    """Bytes of the scales and zero points of one weight tensor; 0 in floating point."""
    if bits >= FLOAT_BITS:
        return 0
    scales = 1 if granularity == "tensor" else out_channels
    return scales * (SCALE_BYTES if symmetric else SCALE_BYTES + ZERO_POINT_BYTES)


def layer_cost(
    name: str,
    type: str,
    shape: tuple[int, ...],
    positions: int,
    retained: int,
    bits: int,
    activation_bits: int,
    bytes: int,
) -> LayerCost:
    """What a layer that stands costs per sample.

    Args:
        name: Of the layer.
        type: Name of its class.
        shape: Of its weight.
        positions: How often the weight is applied per sample.
        retained: Weights that are not masked.
        bits: Of a weight.
        activation_bits: Of what enters the layer.
        bytes: What is stored of it.
    """
    count = prod(shape)
    return LayerCost(
        name=name,
        type=type,
        macs=count * positions,
        effective_macs=retained * positions,
        bops=count * positions * bits * activation_bits,
        weight_count=count,
        retained=retained,
        bits=bits,
        activation_bits=activation_bits,
        bytes=bytes,
        dropped=False,
        shape=shape,
    )


def total(
    per_layer: Sequence[LayerCost], weights: int, functional: int, biases: int, others: int, buffers: int
) -> Costs:
    """Add up the costs of a model.

    Args:
        per_layer: Costs of the layers.
        weights: Weights that stand, tied ones once.
        functional: MACs without a counted weight, in floating point.
        biases: Biases of the layers.
        others: Parameters outside the layers.
        buffers: Running statistics.
    """
    return Costs(
        flops=2 * (sum([layer.macs for layer in per_layer]) + functional),
        effective_flops=2 * (sum([layer.effective_macs for layer in per_layer]) + functional),
        bops=sum([layer.bops for layer in per_layer]) + functional * FLOAT_BITS * FLOAT_BITS,
        weights=weights,
        params=weights + biases + others,
        bytes=sum([layer.bytes for layer in per_layer]) + FLOAT_BYTES * (others + buffers),
        per_layer=tuple(per_layer),
    )
