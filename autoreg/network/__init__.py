"""What a model is made of, and surgery on it."""
