"""Ways to compute weights from what is trained; baked into plain weights when a phase ends."""
