"""What a recipe costs: multiply-accumulates, bit-operations, bytes, and the latency of what would be deployed.

Import from the modules: `profile` looks at a model once, `predict` prices any levels of compression from that
profile without touching the model (and without torch), `count` counts a finished model, `structure` drops blocks
and removes channels for real, `latency` times the exported network.

Conventions, the same everywhere:

* one multiply-accumulate (MAC) is two FLOPs; costs are per sample (a batch of one);
* convolutions, linear layers, recurrent layers and matrix products without weights (attention) are counted;
  biases, normalization, activations, pooling and embedding look-ups are not. Padding is counted as dense work
  and a causal mask does not halve attention;
* `flops` is the dense work of the architecture as it stands after removal, `effective_flops` skips masked zeros,
  `bops` is dense MACs × weight bits × activation bits, 32 bits standing for floating point;
* `weights` are the weights of convolutions and linear layers as they stand (masked zeros included), `params`
  all trainable numbers; tied weights are counted once;
* `bytes` is the packed payload: see `autoreg.costs.formulas`.
"""
