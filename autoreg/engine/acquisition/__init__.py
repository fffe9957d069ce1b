"""Which recipe is tried next: candidates, their expected improvement, and its cost."""
