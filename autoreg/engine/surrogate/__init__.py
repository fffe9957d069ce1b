"""Models that predict the quality of a recipe, and how far they are trusted."""
