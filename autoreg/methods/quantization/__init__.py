"""Few bits for weights and activations."""

from autoreg.methods.quantization.attach import (
    QuantParams,
    attach_quantizers,
    bake_quantizers,
    freeze_quantizers,
    weight_quant_params,
)
from autoreg.methods.quantization.calibration import attach_calibrated, calibrate
from autoreg.methods.quantization.placement import Placement, placement
from autoreg.methods.quantization.settings import Quantization

__all__ = [
    "Placement",
    "QuantParams",
    "Quantization",
    "attach_calibrated",
    "attach_quantizers",
    "bake_quantizers",
    "calibrate",
    "freeze_quantizers",
    "placement",
    "weight_quant_params",
]
