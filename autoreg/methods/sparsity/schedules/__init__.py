"""When weights go: the share of the way to the final sparsity as a function of progress."""
