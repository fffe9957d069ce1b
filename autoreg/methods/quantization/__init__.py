"""Few bits for weights and activations."""

from autoreg.methods.quantization.attach import (
    QuantParams,
    attach_quantizers,
    bake_quantizers,
    calibrate,
    freeze_quantizers,
    weight_quant_params,
)

__all__ = [
    "QuantParams",
    "attach_quantizers",
    "bake_quantizers",
    "calibrate",
    "freeze_quantizers",
    "weight_quant_params",
]
