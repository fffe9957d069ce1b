"""A task with a network that is narrower or shallower from the start; for phases and costs it is a task like any."""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import torch
from torch import nn

from autoreg.costs.levels import Levels
from autoreg.costs.narrowed import composed, narrowed
from autoreg.costs.predict import groups_after
from autoreg.methods.inherit.weight_selection import WeightSelection
from autoreg.network.conv1d import conv1d_as_linear
from autoreg.network.profile import Profile, profile
from autoreg.network.shapes import ChannelGroup
from autoreg.network.surgery.blocks import drop_blocks
from autoreg.network.surgery.cut import cut
from autoreg.network.surgery.initialize import initialize
from autoreg.space import LayerInfo
from autoreg.trial.setup import Setup


class NarrowSetup(Setup):
    """A task whose network is made smaller before anything trains; all else is that of the whole one.

    Args:
        whole: the task with the network that it builds.
        record: plain data of what makes it smaller; phases hang on it.
    """

    def __init__(self, whole: Setup, record: Mapping[str, Any]) -> None:
        super().__init__(whole.task, whole.options)
        self._whole, self._record = whole, dict(record)
        self.store, self.lock, self.latency = whole.store, whole.lock, whole.latency
        self._loaders, self._subsets = whole._loaders, whole._subsets

    @property
    def whole(self) -> Setup:
        """The task with the network that it builds."""
        return self._whole

    @property
    def network_record(self) -> Mapping[str, Any]:
        """Plain data of what makes the network smaller."""
        return self._record

    @cached_property
    def example_input(self) -> Any:
        """One sample as the model takes it."""
        return self._whole.example_input

    @cached_property
    def given_weights(self) -> Mapping[str, Any] | None:
        """The task's own trained weights: of the whole network."""
        return self._whole.given_weights

    @cached_property
    def pretrained_digest(self) -> str:
        """Digest of the given weights."""
        return self._whole.pretrained_digest

    @cached_property
    def base(self) -> str:
        """Hash of what every phase depends on beside the recipe."""
        return self._whole.base

    @cached_property
    def defaults(self) -> dict[str, Any]:
        """The task's training settings."""
        return self._whole.defaults

    @cached_property
    def dense(self) -> dict[str, Any]:
        """The dense recipe, of the whole network."""
        return self._whole.dense

    @cached_property
    def layers(self) -> tuple[LayerInfo, ...]:
        """The weighted layers of the whole network: patterns of a recipe are over these."""
        return self._whole.layers

    @property
    @abstractmethod
    def groups(self) -> tuple[ChannelGroup, ...]:
        """The channel groups of the whole network of which some go, once the blocks are dropped."""

    @abstractmethod
    def retained_channels(self, group: ChannelGroup) -> int:
        """How many of the channels of one of these groups stay."""

    @abstractmethod
    def cut_from(self, model: nn.Module, channels: Mapping[str, Sequence[int]]) -> nn.Module:
        """The small network with weights of the whole one.

        Args:
            model: a trained whole network; not to be used any more.
            channels: which stay, by group; empty for what takes weights otherwise.
        """


class CutSetup(NarrowSetup):
    """A task with a network that surgery makes smaller.

    Args:
        whole: the task with the network that it builds.
        network: what is dropped and removed.
    """

    def __init__(self, whole: Setup, network: Levels) -> None:
        super().__init__(whole, {"dropped": list(network.dropped), "channels": dict(network.channels)})
        self.network = network

    @cached_property
    def profile(self) -> Profile:
        """Layers, channel groups and blocks of the small network."""
        return narrowed(self._whole.profile, self.network)

    @cached_property
    def groups(self) -> tuple[ChannelGroup, ...]:
        """The channel groups of the whole network of which some go, once the blocks are dropped."""
        return tuple(
            g for g in groups_after(self._whole.profile, self.network.dropped) if g.id in self.network.channels
        )

    def retained_channels(self, group: ChannelGroup) -> int:
        """How many of the channels of one of these groups stay."""
        return self.network.channels[group.id]

    @property
    def structure(self) -> dict[str, Any]:
        """What a file holds for the small network to be built again: names of blocks, and indices of channels."""
        removed = {group.id: list(range(self.network.channels[group.id], group.size)) for group in self.groups}
        return {"dropped": list(self.network.dropped), "removed": removed}

    def on_whole(self, levels: Levels) -> Levels | None:
        """Levels of the whole network that leave what levels of this one leave."""
        return composed(self._whole.profile, self.network, self.profile, levels)

    def fresh_model(self, seed: int) -> nn.Module:
        """Build the small network with initial weights that depend on `seed` alone, at its own scale."""
        whole = self._whole.fresh_model(seed)
        first = {group.id: range(self.network.channels[group.id]) for group in self.groups}
        model = self.cut_from(copy.deepcopy(whole), first)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            initialize(model, whole, self._whole.own_initialization)
        return model

    def cut_from(self, model: nn.Module, channels: Mapping[str, Sequence[int]]) -> nn.Module:
        """The small network with those channels of a whole one; the model is changed in place."""
        drop_blocks(model, self.network.dropped, self.example_input)
        removed = {g.id: sorted(set(range(g.size)) - set(channels[g.id])) for g in self.groups}
        cut(model, self.groups, removed)
        return model


class BuiltSetup(NarrowSetup):
    """A task that builds a smaller network itself.

    Args:
        whole: the task with the network that it builds by default.
        width: part of its width.
        blocks: how many blocks it has, None for all.
    """

    def __init__(self, whole: Setup, width: float, blocks: int | None) -> None:
        super().__init__(whole, {"width": width, "blocks": blocks})
        self._arguments = {"width": width, "blocks": blocks}

    @cached_property
    def profile(self) -> Profile:
        """Layers, channel groups and blocks of the small network."""
        return profile(self.fresh_model(0), self.example_input)

    @cached_property
    def layers(self) -> tuple[LayerInfo, ...]:
        """The weighted layers of the small network."""
        return tuple(LayerInfo(layer.name, layer.type) for layer in self.profile.layers)

    @property
    def groups(self) -> tuple[ChannelGroup, ...]:
        """None: the network was not cut out of the whole one."""
        return ()

    def retained_channels(self, group: ChannelGroup) -> int:
        """Never asked: there are no groups."""
        raise KeyError(group.id)

    @property
    def structure(self) -> dict[str, Any]:
        """What the task's builder is called with."""
        return dict(self._arguments)

    def build_for_file(self, **network: Any) -> nn.Module:
        """The small network: a file says what the task's builder is called with."""
        return self.fresh_model(0)

    def on_whole(self, levels: Levels) -> Levels | None:
        """None: the network was not cut out of the whole one."""
        return None

    def fresh_model(self, seed: int) -> nn.Module:
        """Build the small network with initial weights that depend on `seed` alone."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            builder: Any = self.task.build_model
            return conv1d_as_linear(builder(**self._arguments))

    def cut_from(self, model: nn.Module, channels: Mapping[str, Sequence[int]]) -> nn.Module:
        """The small network with evenly spaced entries of the whole one's tensors of the same names.

        That is weight selection tensor by tensor, as in Xu et al., 2023, arXiv 2311.18823.
        """
        small, whole = self.fresh_model(0), model.state_dict()
        chosen = small.state_dict()
        for name, tensor in chosen.items():
            source = whole.get(name)
            if source is None or source.ndim != tensor.ndim:
                continue
            if all(there >= here for there, here in zip(source.shape, tensor.shape, strict=True)):
                for axis, size in enumerate(tensor.shape):
                    stay = WeightSelection().select(source.shape[axis], size)
                    source = source.index_select(axis, torch.tensor(stay, device=source.device))
                chosen[name] = source
        small.load_state_dict(chosen)
        return small.train(model.training)
