"""Tests of noise on inputs and activations."""
