"""Tests of methods that choose layers and blocks."""
