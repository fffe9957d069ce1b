"""Which droppable blocks a network has from the start.

A method has `keep`, how many blocks stay (None for all of them), `needs`, which contains "loss" where it looks at the
network, and `select(blocks, scores) -> names of the blocks that stay`. One that needs the loss has
`score(loss, weights) -> {block: score}`, too.
"""
