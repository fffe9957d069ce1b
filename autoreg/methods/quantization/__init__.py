"""Few bits for weights and activations."""

from autoreg.methods.quantization.attach import (
    QuantParams,
    attach_calibrated,
    attach_quantizers,
    bake_quantizers,
    calibrate,
    freeze_quantizers,
    weight_quant_params,
)
from autoreg.methods.quantization.placement import Placement, placement

__all__ = [
    "Placement",
    "QuantParams",
    "attach_calibrated",
    "attach_quantizers",
    "bake_quantizers",
    "calibrate",
    "freeze_quantizers",
    "placement",
    "weight_quant_params",
]
