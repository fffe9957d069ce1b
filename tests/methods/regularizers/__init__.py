"""Tests of penalties and other terms of training."""
