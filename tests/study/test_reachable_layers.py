"""Which numbers of channels a space can leave is the structure's own to say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Self

import pytest
import torch
from torch import nn

from autoreg.costs.levels import Levels
from autoreg.methods import Paper, integer, method, registry
from autoreg.methods.sparsity.structures.structure import DenseReference, Network, Structure
from autoreg.network.profile import profile
from autoreg.network.shapes import ChannelGroup
from autoreg.space import complete_recipe
from autoreg.study.reachable_layers import channel_counts

PAPER = Paper("Title", "Authors", 2024, arxiv="2401.00001")


def counts_of(structures: Sequence[Mapping[str, Any]], retained: int = 8) -> list[int]:
    """Numbers of channels that can stay in the one group, of eight channels, of a small network."""
    found = profile(nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)), torch.randn(2, 4))
    (group,) = [group.id for group in found.channel_groups if group.removable]
    levels = Levels(channels={group: retained})
    return channel_counts(found, [(complete_recipe({"sparsity": s}, registry()), levels) for s in structures])[group]


def declare(with_sizes: bool) -> None:
    """Declare the structure `first`: the first channels stay, so many; it says so, or leaves that to the default."""

    class Sized(Structure):
        @classmethod
        def reachable_channels(
            cls, structures: Sequence[Self], groups: Sequence[ChannelGroup]
        ) -> Mapping[str, Iterable[int]]:
            return {group.id: {getattr(one, "channels") for one in structures} for group in groups}  # noqa: B009

    base: type[Structure] = Sized if with_sizes else Structure

    @method("first", kind="structure", paper=PAPER)
    class First(base):  # type: ignore[misc, valid-type]  # the base is chosen
        """The first channels stay."""

        channels: int = integer(1, 8)
        changes_shape: ClassVar[bool] = True

        def resolve(self, network: Network, reference: DenseReference) -> Levels:
            return Levels(channels={group.id: self.channels for group in network.groups if group.removable})


@pytest.mark.usefixtures("own_methods")
def test_a_structure_of_ones_own_leaves_any_number_unless_it_says_which() -> None:
    declare(with_sizes=False)
    assert counts_of([{"first": {"channels": 3}}], retained=3) == [*range(1, 9)]


@pytest.mark.usefixtures("own_methods")
def test_a_structure_of_ones_own_says_which_numbers_it_leaves() -> None:
    declare(with_sizes=True)
    assert counts_of([{"first": {"channels": 3}}, {"first": {"channels": 5}}], retained=5) == [3, 5, 8]


def test_channels_leave_what_amounts_between_the_smallest_and_the_largest_do() -> None:
    """At multiples of 2: of 8 channels, a quarter to three quarters removed leave 6, 4 and 2."""
    uniform = [{"channel": {"amount": amount, "round_to": 2}} for amount in (0.25, 0.75)]
    assert counts_of(uniform) == [2, 4, 6, 8]
    assert counts_of(uniform[:1]) == [6, 8]
    shared = {"channel": {"amount": 0.25, "round_to": 2, "allocation": "global"}}
    assert counts_of([shared]) == [2, 4, 6, 8]
