"""Noise on inputs and features while training."""
