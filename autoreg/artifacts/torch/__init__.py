"""A finished network as torch modules and programs."""
