"""How a layer is applied, as plain data: what stays of it when channels go. Loads without torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Literal

Op = Literal["conv", "conv_transpose", "linear"]


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
