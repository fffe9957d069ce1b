"""Which residual blocks are dropped.

A dropper has `needs`, which contains "distances" where it needs them, and
`select(blocks, distances) -> names of the blocks that go`.
"""

from autoreg.methods.layers.drop.distances import angular_distance, block_distances

__all__ = ["angular_distance", "block_distances"]
