"""Removing channels, heads and blocks, and factoring layers."""
