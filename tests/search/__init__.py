"""Tests of autoreg.search."""
