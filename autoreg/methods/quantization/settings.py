"""How a model is quantized, layer by layer, as plain data. Loads without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from autoreg.errors import InputError
from autoreg.methods.discovery import from_recipe, to_recipe
from autoreg.methods.quantization.placement import Placement
from autoreg.methods.quantization.rtn import Rtn
from autoreg.methods.quantization.uniform import UniformQuantizer
from autoreg.methods.weights import is_transposed

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Quantization:
    """Bits, grids and quantizer of the layers of one model.

    Attributes:
        weight_bits: by layer name, 2 to 8 or 32.
        activation_bits: of the layer's input, by layer name, 2 to 8 or 32.
        granularity: one scale per `tensor`, or per output `channel`, of weights; inputs have one per tensor.
        symmetric: zero point 0 for weights, else an integer zero point.
        act_symmetric: the same for inputs.
        quantizer: a method of that kind.
        placement: where values are quantized beside the inputs of layers.

    Raises:
        InputError: the granularity is another.
    """

    weight_bits: Mapping[str, int]
    activation_bits: Mapping[str, int] = field(default_factory=dict)
    granularity: str = "channel"
    symmetric: bool = True
    act_symmetric: bool = False
    quantizer: UniformQuantizer = field(default_factory=Rtn)
    placement: Placement = field(default_factory=Placement)

    def __post_init__(self) -> None:
        if self.granularity not in ("tensor", "channel"):
            raise InputError(f"granularity = {self.granularity!r}; allowed: tensor, channel")

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; `from_dict` reads it back."""
        plain = {name: getattr(self, name) for name in ("granularity", "symmetric", "act_symmetric")}
        bits = {"weight_bits": dict(self.weight_bits), "activation_bits": dict(self.activation_bits)}
        return {**plain, **bits, "quantizer": to_recipe(self.quantizer), "placement": asdict(self.placement)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Quantization:
        """Read what `to_dict` wrote, straight or through JSON.

        Raises:
            InputError: the quantizer is unknown.
        """
        objects = {
            "quantizer": from_recipe("quantizer", data["quantizer"]),
            "placement": Placement(**data["placement"]),
        }
        return cls(**{**data, **objects})


def scale_axis(module: nn.Module, granularity: str) -> int | None:
    """The dimension of a layer's weight along which its scales lie: that of its outputs, or None for one scale."""
    return None if granularity == "tensor" else 1 if is_transposed(module) else 0
