"""Tests of what is removed, and how much of it."""
