"""How a layer is applied, and the key under which its time stands in a machine's table. Loads without torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any, Literal

from autoreg.costs.formulas import FLOAT_BITS, Costs
from autoreg.costs.levels import Levels

Op = Literal["conv", "conv_transpose", "linear"]
Kind = Literal["fp32", "int8", "int4"]
KINDS: tuple[Kind, ...] = ("fp32", "int8", "int4")
INTEGER_BITS = 8  # weights and activations of at most so many bits are carried out as bytes
PACKED_BITS = 4  # weights of at most so many bits, with floating-point activations, as MatMulNBits


@dataclass(frozen=True)
class Geometry:
    """What stays of a layer when its channels go: how it is applied to one input of the model.

    Attributes:
        op: `conv`, `conv_transpose` or `linear`.
        rows: samples in a call of a convolution; of a linear layer samples times positions.
        spatial: height and width (1 to 3 numbers) of the input of a convolution; of a linear layer () when its input
            has two dimensions, and (1,) when it has more: runtimes carry these out differently.
        kernel: size along each spatial dimension.
        stride: step along each spatial dimension.
        padding: zeros before each spatial dimension, then after each.
        dilation: distance of the kernel's points along each spatial dimension.
        output_padding: of a transposed convolution.
        groups: of a convolution.
        depthwise: whether every channel has a filter of its own, so that groups follow the channels.
        bias: whether the layer has a bias of its own.
        calls: how often the layer is applied in one pass of the model.
    """

    op: Op
    rows: int
    spatial: tuple[int, ...] = ()
    kernel: tuple[int, ...] = ()
    stride: tuple[int, ...] = ()
    padding: tuple[int, ...] = ()
    dilation: tuple[int, ...] = ()
    output_padding: tuple[int, ...] = ()
    groups: int = 1
    depthwise: bool = False
    bias: bool = True
    calls: int = 1

    @property
    def output(self) -> tuple[int, ...]:
        """Spatial shape of the output; () for a linear layer."""
        if self.op == "linear":
            return ()
        dims = len(self.kernel)
        sizes = []
        for i, size in enumerate(self.spatial):
            pads, reach = self.padding[i] + self.padding[dims + i], self.dilation[i] * (self.kernel[i] - 1)
            if self.op == "conv":
                sizes.append((size + pads - reach - 1) // self.stride[i] + 1)
            else:
                sizes.append((size - 1) * self.stride[i] - pads + reach + self.output_padding[i] + 1)
        return tuple(sizes)

    @property
    def out_positions(self) -> int:
        """Rows times output positions: numbers that one call writes, per channel."""
        return self.rows * prod(self.output)

    @property
    def in_positions(self) -> int:
        """Rows times input positions: numbers that one call reads, per channel."""
        return self.rows * (1 if self.op == "linear" else prod(self.spatial))

    def second(self) -> Geometry:
        """Geometry of the second factor when this layer is written as two: 1×1 over the first factor's output."""
        if self.op == "linear":
            return replace(self, groups=1)
        ones = (1,) * len(self.kernel)
        return Geometry(
            "conv",
            self.rows,
            self.output,
            kernel=ones,
            stride=ones,
            padding=(0,) * 2 * len(ones),
            dilation=ones,
            bias=self.bias,
            calls=self.calls,
        )


@dataclass(frozen=True)
class LayerKey:
    """One entry of the table: a geometry with its channels, and how it is carried out.

    What makes no difference is written in one way: every exported convolution has a bias, since batch norms are folded
    into it, and so has every integer layer; integer linear layers run over rows, however many dimensions there are.
    """

    kind: Kind
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
    def family(self) -> tuple[Kind, Geometry]:
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
        """Read what `to_dict` wrote, straight or through JSON."""
        found: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in data.items()
        }
        kind, inputs, outputs = found.pop("kind"), found.pop("in"), found.pop("out")
        return cls(kind, Geometry(**found), inputs, outputs)


_DEFAULTS = {name: value for name, value in vars(Geometry("linear", 1)).items() if name not in ("op", "rows")}


@dataclass(frozen=True)
class Applied:
    """A layer of a compressed model that stands: its key, how often it is called, whether its input is on a grid."""

    key: LayerKey
    calls: int
    rounded: bool


def kind_of(geometry: Geometry, bits: int, activation_bits: int, *, symmetric: bool, granularity: str) -> Kind:
    """How the exported file carries a layer out (see `autoreg.artifacts.onnx.int8`).

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


def geometry_of(name: str, geometries: Mapping[str, Geometry]) -> Geometry | None:
    """The geometry of a layer, or of a factor NAME.0 or NAME.1 of one; None where the layer is never called."""
    if name in geometries:
        return geometries[name]
    whole, _, factor = name.rpartition(".")
    if whole not in geometries or factor not in ("0", "1"):
        return None
    first = replace(geometries[whole], bias=False)
    return first if factor == "0" else geometries[whole].second()


def channels_of(shape: Sequence[int], geometry: Geometry) -> tuple[int, int]:
    """Input and output channels from the shape of a weight that stands."""
    groups = shape[0] if geometry.depthwise else geometry.groups
    if geometry.op == "conv_transpose":
        return shape[0], shape[1] * groups
    return shape[1] * groups, shape[0]
