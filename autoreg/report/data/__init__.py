"""A study read from its folder, as tables and dataclasses."""
