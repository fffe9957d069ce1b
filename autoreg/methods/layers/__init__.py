"""Which layers are trained, and which blocks are dropped."""
