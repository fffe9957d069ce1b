"""Tests of autoreg.engine."""
