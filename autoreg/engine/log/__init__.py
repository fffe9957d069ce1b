"""What happened: the append-only events, the state folded from them, and the views of it."""
