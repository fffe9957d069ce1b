"""The key under which a layer's time stands in a machine's table. Loads without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import Any, Literal, get_args

from autoreg.costs.formulas import FLOAT_BITS, Costs
from autoreg.costs.levels import Levels
from autoreg.network.geometry import Geometry, Op, channels_of, geometry_of

LayerKind = Literal["fp32", "int8", "int4"]
LAYER_KINDS: tuple[LayerKind, ...] = ("fp32", "int8", "int4")
INTEGER_BITS = 8  # weights and activations of at most so many bits are executed as bytes
PACKED_BITS = 4  # weights of at most so many bits, with floating-point activations, as MatMulNBits


@dataclass(frozen=True)
class LayerKey:
    """One entry of the table: a geometry with its channels, and how it is executed.

    What makes no difference is written in one way: every exported convolution has a bias, since batch norms are folded
    into it, and so has every integer layer; integer linear layers run over rows, however many dimensions there are.
    """

    kind: LayerKind
    geometry: Geometry
    inputs: int
    outputs: int

    def __post_init__(self) -> None:
        geometry = self.geometry
        groups = self.outputs if geometry.depthwise else geometry.groups
        bias = geometry.bias or geometry.op != "linear" or self.kind == "int8"
        spatial = () if geometry.op == "linear" and self.kind != "fp32" else geometry.spatial
        plain = replace(geometry, groups=groups, bias=bias, spatial=spatial, calls=1)
        object.__setattr__(self, "geometry", plain)

    @property
    def family(self) -> tuple[LayerKind, Geometry]:
        """What keys share that differ in channels alone."""
        geometry = self.geometry
        return self.kind, replace(geometry, groups=1) if geometry.depthwise else geometry

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one call."""
        geometry = self.geometry
        positions = geometry.in_positions if geometry.op == "conv_transpose" else geometry.out_positions
        return self.inputs // geometry.groups * self.outputs * prod(geometry.kernel) * positions

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON, without what has its default; `from_dict` reads it back."""
        geometry = self.geometry
        return {
            "kind": self.kind,
            "in": self.inputs,
            "out": self.outputs,
            **{
                name: list(value) if isinstance(value, tuple) else value
                for name, value in vars(geometry).items()
                if value != _DEFAULTS.get(name)
            },
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> LayerKey:
        """Read what `to_dict` wrote, straight or through JSON.

        Raises:
            ValueError: the kind of the layer or of its operation is unknown, or a number is none.
        """
        found: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in data.items()
        }
        kind, inputs, outputs = found.pop("kind"), found.pop("in"), found.pop("out")
        geometry = Geometry(**found)
        if kind not in LAYER_KINDS or geometry.op not in get_args(Op):
            raise ValueError(f"no layer is {kind!r} and {geometry.op!r}")
        sizes = [value for name, value in vars(geometry).items() if name != "op"]
        whole = [number for size in sizes for number in (size if isinstance(size, tuple) else (size,))]
        if not all(isinstance(number, int) for number in (inputs, outputs, *whole)):
            raise ValueError(f"sizes of a layer are whole numbers, found {data}")
        return cls(kind, geometry, inputs, outputs)


_DEFAULTS = {name: value for name, value in vars(Geometry("linear", 1)).items() if name not in ("op", "rows")}


@dataclass(frozen=True)
class Applied:
    """A layer of a compressed model that stands: its key, how often it is called, whether its input is on a grid."""

    key: LayerKey
    calls: int
    rounded: bool


def kind_of(geometry: Geometry, bits: int, activation_bits: int, *, symmetric: bool, granularity: str) -> LayerKind:
    """How the exported file executes a layer (see `autoreg.artifacts.onnx.int8`).

    Args:
        geometry: of the layer.
        bits: of its weight; 32 is floating point.
        activation_bits: of what enters it.
        symmetric: whether integer weights go without zero points.
        granularity: `tensor` or `channel`: several zero points in one weight have no integer kernel.
    """
    if bits <= INTEGER_BITS and activation_bits <= INTEGER_BITS:
        whole = symmetric or granularity == "tensor"
        return "int8" if whole and geometry.op != "conv_transpose" else "fp32"
    packed = geometry.op == "linear" and bits <= PACKED_BITS and activation_bits >= FLOAT_BITS
    return "int4" if packed else "fp32"


def applied_layers(geometries: Mapping[str, Geometry], costs: Costs, levels: Levels) -> list[Applied]:
    """The layers that stand in a compressed model, as entries of the table.

    Args:
        geometries: of the dense model's layers at the latency batch; layers without one are never called.
        costs: of the levels, from `autoreg.costs.predict.predict`; a layer NAME that is written as two factors has
            the rows NAME.0 and NAME.1.
        levels: say how integer weights are scaled.
    """
    found = []
    for row in costs.per_layer:
        geometry = geometry_of(row.name, geometries)
        if row.dropped or geometry is None or not row.shape:
            continue
        inputs, outputs = channels_of(row.shape, geometry)
        kind = kind_of(
            geometry, row.bits, row.activation_bits, symmetric=levels.symmetric, granularity=levels.granularity
        )
        rounded = row.activation_bits < FLOAT_BITS
        found.append(Applied(LayerKey(kind, geometry, inputs, outputs), geometry.calls, rounded))
    return found
