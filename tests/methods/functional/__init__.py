"""Tests of the functions that methods are built of."""
