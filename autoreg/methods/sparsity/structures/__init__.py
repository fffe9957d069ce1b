"""Structures: the unit in which weights go: single ones, N of every M, whole coupled channels, or ranks of layers."""

from autoreg.methods.sparsity.structures.channel import group_scores
from autoreg.methods.sparsity.structures.picking import nm_mask, top_mask

__all__ = ["group_scores", "nm_mask", "top_mask"]
