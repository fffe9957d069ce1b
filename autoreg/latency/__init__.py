"""Timing of what would be deployed."""
