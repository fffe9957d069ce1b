"""Fronts, hypervolume, and the expected improvement of both."""
