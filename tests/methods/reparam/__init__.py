"""Tests of reparametrizations of weights."""
