"""Selectors of the parameters that are trained."""
