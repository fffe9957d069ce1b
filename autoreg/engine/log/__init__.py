"""What happened: the append-only events, the state replayed from them, and the views of it."""
