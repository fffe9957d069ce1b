"""Terms added to the loss, and other ways to shape the gradient."""
