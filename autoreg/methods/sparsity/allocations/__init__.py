"""Allocations: how the share to remove is divided among layers (or among groups of coupled channels).

An allocation has `needs`, what it looks at: nothing, `scores` of a reference, or distortion `curves`
(`autoreg.sensitivity.Curve`); `levels(layers, amount, given) -> {name: share removed, in [0, 1)}`, where `given` is
what it needs, by layer; and `same_for_all`, whether the amount itself is that of every layer. One that divides bits
too defines `bits(sizes, bits, curves) -> {name: bits}`.
"""

from autoreg.methods.sparsity.allocations.shapes import LayerShape

__all__ = ["LayerShape"]
