"""Tests of quantizers and where they stand."""
