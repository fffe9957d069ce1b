"""A finished network as packed weights in a safetensors file."""
