"""Which running trials are stopped."""
