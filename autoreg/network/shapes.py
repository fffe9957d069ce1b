"""What `profile` learns of a model, as plain data. Loads without torch."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import prod

ONE_HEAD = "there is only one attention head"
"""Why heads cannot be removed where one is left."""


@dataclass(frozen=True)
class LayerProfile:
    """One convolution or linear layer.

    `positions` is how often the weight is applied per sample, so that `macs = prod(weight_shape) * positions` (output
    positions; input positions for a transposed convolution). `in_groups` lists the channel groups that feed the layer
    as (group id, in-features per channel), `out_repeat` is out-features per channel of `out_group`. `tied` names what
    layers that share one weight have in common: the weight is stored once. `block` is the droppable block that holds
    the layer. `factorable` says whether two layers of low rank can stand in its place. `shared` says whether another
    module holds the same weight (an embedding, a second layer): no recipe masks or quantizes such a weight. `called`
    says whether the layer is ever called: where other code reads its weight, no recipe quantizes its input.
    """

    name: str
    type: str
    weight_shape: tuple[int, ...]
    bias: bool
    positions: int
    groups: int = 1
    block: str | None = None
    out_group: str | None = None
    in_groups: tuple[tuple[str, int], ...] = ()
    tied: str | None = None
    factorable: bool = False
    out_repeat: int = 1
    shared: bool = False
    called: bool = True

    @cached_property
    def weights(self) -> int:
        """Weights of the dense layer."""
        return prod(self.weight_shape)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of the dense layer for one sample."""
        return self.weights * self.positions

    @cached_property
    def transposed(self) -> bool:
        """Whether the weight is stored as (in, out / groups, ...)."""
        return "Transpose" in self.type

    @property
    def out_channels(self) -> int:
        """Output channels or features."""
        return self.weight_shape[1] * self.groups if self.transposed else self.weight_shape[0]

    @property
    def in_channels(self) -> int:
        """Input channels or features."""
        return self.weight_shape[0] if self.transposed else self.weight_shape[1] * self.groups

    @cached_property
    def depthwise(self) -> bool:
        """Whether every channel has a filter of its own, so that in and out go together."""
        return self.groups > 1 and self.groups == self.out_channels == self.in_channels

    def shape(self, out_channels: int, in_channels: int) -> tuple[int, ...]:
        """Shape of the weight when `out_channels` and `in_channels` are left."""
        kernel = self.weight_shape[2:]
        groups = out_channels if self.depthwise else self.groups
        if self.transposed:
            return (in_channels, out_channels // groups, *kernel)
        return (out_channels, in_channels // groups, *kernel)


@dataclass(frozen=True)
class OtherParams:
    """Parameters and statistics that no convolution or linear layer holds: norms, embeddings, recurrent weights.

    `per_channel` lists (group id, parameters per channel, buffer numbers per channel): what is removed with a channel.
    `buffers` counts running means and variances.
    """

    name: str
    type: str
    params: int
    buffers: int = 0
    block: str | None = None
    per_channel: tuple[tuple[str, int, int], ...] = ()


@dataclass(frozen=True)
class Functional:
    """Multiply-accumulates per sample without a counted weight (attention, recurrent layers), by module.

    `per_channel` lists (group id, multiply-accumulates per channel): what is removed with an attention head.
    """

    name: str
    macs: int
    block: str | None = None
    per_channel: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True)
class ChannelGroup:
    """Channels, or attention heads, that can only be removed together: "channel" says either below.

    `id` is the name of the first layer, in `named_modules` order, that produces them. `members` lists
    (module name, axis of its weight): of convolutions and linear layers, 0 is what they produce and 1 what they
    consume (the other way round for transposed ones; a depthwise convolution has only axis 0); norms have axis 0,
    embeddings axis 1. `spans`, aligned with it, says where channel c lies there: positions start + c * repeat ...
    start + (c + 1) * repeat - 1. `produced` and `consumed` name the layers whose outputs and inputs the group is.
    `reason` says why a group is not removable.

    Of attention heads, `width` is the features of one (of those that share keys and values, of all that do), one module
    may be a member several times (fused projections), `attributes` lists (module, integer attribute, how much it falls
    with each head) and `work` (module, multiply-accumulates per sample of one head, outside of layers).
    """

    id: str
    size: int
    members: tuple[tuple[str, int], ...]
    produced: tuple[str, ...] = ()
    consumed: tuple[str, ...] = ()
    spans: tuple[tuple[int, int], ...] = ()
    removable: bool = True
    reason: str = ""
    width: int = 1
    attributes: tuple[tuple[str, str, int], ...] = ()
    work: tuple[tuple[str, int], ...] = ()

    @property
    def heads(self) -> bool:
        """Whether these are attention heads."""
        return bool(self.attributes or self.work or self.width > 1)

    def positions(self, channel: int, member: int) -> range:
        """Where `channel` lies in member number `member`."""
        start, repeat = self.spans[member]
        return range(start + channel * repeat, start + (channel + 1) * repeat)


@dataclass(frozen=True)
class Block:
    """A droppable block; `layers` are its weighted layers, `macs` its dense work per sample.

    Where it is not a residual block, dropping it makes the channel groups `joined` one group. `fixed` says
    that the united group then touches something that cannot shrink (the model's input, a concatenation).
    """

    name: str
    layers: tuple[str, ...]
    macs: int
    joined: tuple[str, ...] = ()
    fixed: bool = False


@dataclass(frozen=True)
class Profile:
    """All that the costs of a model depend on, layers in `named_modules` order."""

    layers: tuple[LayerProfile, ...]
    channel_groups: tuple[ChannelGroup, ...] = ()
    blocks: tuple[Block, ...] = ()
    functional: tuple[Functional, ...] = ()
    others: tuple[OtherParams, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def macs(self) -> int:
        """Multiply-accumulates of the dense model for one sample."""
        return sum(layer.macs for layer in self.layers) + sum(part.macs for part in self.functional)

    @cached_property
    def names(self) -> frozenset[str]:
        """Names of the weighted layers."""
        return frozenset(layer.name for layer in self.layers)

    def layer(self, name: str) -> LayerProfile:
        """The layer called `name`; raises `KeyError` when there is none."""
        for layer in self.layers:
            if layer.name == name:
                return layer
        raise KeyError(name)

    def group(self, name: str) -> ChannelGroup:
        """The channel group called `name`; raises `KeyError` when there is none."""
        for group in self.channel_groups:
            if group.id == name:
                return group
        raise KeyError(name)
