"""Averages of the weights that a phase of training passes through."""
