"""Allocations: how the share to remove is divided among layers (or among groups of coupled channels).

An allocation has `needs_weights`, whether it looks at scores, and
`levels(layers, amount, scores) -> {name: share removed, in [0, 1)}`. One that sets `needs_curves` too gets distortion
curves (`autoreg.sensitivity.Curve`) in place of scores.
"""

from autoreg.methods.sparsity.allocations.shapes import LayerShape

__all__ = ["LayerShape"]
