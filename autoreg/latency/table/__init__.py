"""A machine's table of layer times, and the latency that it predicts."""
