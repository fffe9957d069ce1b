"""What a recipe costs: multiply-accumulates, bit-operations, bytes. Arithmetic alone.

Import from the modules: `predict` gives the costs of any `levels` of compression from a profile
(`autoreg.network.profile`) without touching the model and without torch, `count` counts a finished model, `formulas`
holds what both compute.

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
