"""Which channels of a trained network a narrow one starts from.

A method has `needs`, which is empty, or contains "scores" where it ranks channels by the `criterion` that it has, or
"activations" where it ranks them by what flows through them; `select(channels, keep, values) -> indices that stay,
sorted`; and `scale(channels, keep)` where what reads the channels is multiplied by a factor.
"""
