"""Teachers: whose outputs a network learns beside the targets."""
