"""Channel groups are found once for an architecture: what is the same one, and what is not."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import nn

from autoreg.network.shapes import ChannelGroup
from autoreg.network.surgery.apply import analyze, channel_groups, remove_channels
from autoreg.network.surgery.known_groups import architecture, known_groups
from tests.network.nets import PlainCNN

X = torch.randn(3, 1, 8, 8)


def test_groups_of_an_equal_architecture_are_found_once() -> None:
    """Other weights, training mode and what batch norms counted do not matter; other channels do."""
    model, other = PlainCNN(), PlainCNN()
    other.train()
    other(torch.randn(5, 1, 8, 8))
    asked: list[nn.Module] = []

    def find(model: nn.Module) -> Callable[[], tuple[ChannelGroup, ...]]:
        def found() -> tuple[ChannelGroup, ...]:
            asked.append(model)
            return analyze(model, X).groups

        return found

    for one in (model, other, copy.deepcopy(model).requires_grad_(False)):
        assert known_groups(one, X, find(one)) == analyze(one, X).groups
    assert len(asked) <= 1, "perhaps another test asked before"
    key = architecture(other, X)
    remove_channels(other, X, {next(g.id for g in channel_groups(other, X) if g.removable): [0]})
    assert architecture(model, X) == key != architecture(other, X)
    assert known_groups(other, X, find(other)) == analyze(other, X).groups != analyze(model, X).groups


class Configured(nn.Module):
    """A layer and a setting of any kind."""

    def __init__(self, setting: object) -> None:
        super().__init__()
        self.linear, self.setting = nn.Linear(4, 4), setting

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.linear(x)
        return found


class Settings:
    """Settings as libraries write them."""

    def __init__(self, heads: int) -> None:
        self.heads = heads


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (2, 3),
        ({"heads": 2}, {"heads": 3}),
        (Settings(2), Settings(3)),
        ([torch.tensor([0, 1])], [torch.tensor([1, 0])]),
        (torch.relu, torch.tanh),
    ],
)
def test_networks_that_differ_in_a_setting_are_told_apart(one: object, other: object) -> None:
    x = torch.randn(2, 4)
    found = [architecture(Configured(setting), x) for setting in (one, copy.deepcopy(one), other)]
    assert found[0] == found[1] is not None
    assert found[2] not in (None, found[0])


def test_integer_buffers_and_ties_count() -> None:
    def made(order: list[int], *, tied: bool) -> nn.Module:
        model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
        model.register_buffer("order", torch.tensor(order))
        if tied:
            model[1].weight = model[0].weight
        return model

    x = torch.randn(2, 4)
    found = [
        architecture(made(order, tied=tied), x) for order, tied in (([0, 1], False), ([1, 0], False), ([0, 1], True))
    ]
    assert len(set(found)) == 3


def test_what_cannot_be_told_apart_is_analyzed_each_time() -> None:
    """A hook, an object without settings to read, and a module that torch does not see."""
    x, hooked = torch.randn(2, 4), Configured(1)
    hooked.register_forward_hook(lambda module, inputs, output: output * 2)
    for model in (hooked, Configured(object()), Configured([nn.Linear(4, 4)])):
        assert architecture(model, x) is None
    asked: list[int] = []
    for _ in range(2):
        known_groups(hooked, x, lambda: asked.append(1) or ())  # type: ignore[func-returns-value]
    assert len(asked) == 2
