"""Criteria: a score for every weight; what scores low goes first.

A criterion has `needs`, the statistics it reads (`inputs`, `gradients` or neither), `comparison`, the weights that
compete (`layer`, or `row`: inside each output of a linear layer), and `score`.
"""

from autoreg.methods.sparsity.criteria.stats import Stats, collect

__all__ = ["Stats", "collect"]
