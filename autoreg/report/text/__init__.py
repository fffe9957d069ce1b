"""A study in words."""
