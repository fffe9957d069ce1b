"""Dropped blocks: what passes them by, and what is no block."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autoreg.errors import InputError
from autoreg.network.surgery.apply import (
    PassThrough,
    drop_blocks,
    find_blocks,
)
from tests.network.nets import ResNet, zoo


def test_dropped_blocks_pass_their_input_on() -> None:
    """The model without two blocks is the model that skips them."""
    model, example = zoo()["residual"]
    model.eval()
    dropped = copy.deepcopy(model)
    drop_blocks(dropped, ["blocks.0", "blocks.3"])
    assert isinstance(model, ResNet)
    x = F.relu(model.bn(model.conv(example)))
    x = model.blocks[2](model.blocks[1](x))
    assert torch.equal(dropped(example), model.fc(x.mean((2, 3))))
    with pytest.raises(InputError, match=r"did you mean 'blocks\.3'"):
        drop_blocks(dropped, ["block.3"])


class Layer(nn.Module):
    """A residual layer as in large libraries: it takes a mask and a flag by name, and gives back a tuple."""

    def __init__(self, length: int) -> None:
        super().__init__()
        self.kind, self.length = "full", length
        self.fc = nn.Linear(6, 6)

    def forward(self, x: Tensor, mask: Tensor, *, verbose: bool = False) -> tuple[Any, ...]:
        return (x + self.fc(x) * mask, *[None] * (self.length - 1))


class Layers(nn.Module):
    """Reads attributes of its layers and unpacks what they give back."""

    def __init__(self, length: int = 2) -> None:
        super().__init__()
        self.layers = nn.ModuleList([Layer(length) for _ in range(3)])
        self.fc = nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        mask = torch.ones(6)
        for layer in self.layers:
            assert layer.kind == "full"
            found = layer(x, mask, verbose=True)
            assert len(found) == layer.length
            x = found[0]
        out: Tensor = self.fc(x)
        return out


@pytest.mark.parametrize("length", [1, 2, 3])
def test_blocks_that_take_more_and_give_tuples_are_dropped_in_their_form(length: int) -> None:
    """The caller goes on as before: extra arguments, tuples and attributes of the layer."""
    model, example = Layers(length), torch.randn(2, 6)
    assert find_blocks(model, example) == ("layers.0", "layers.1", "layers.2")
    expected = copy.deepcopy(model)
    del expected.layers[1]
    drop_blocks(model, ["layers.1"], example)
    assert isinstance(model.layers[1], PassThrough)
    assert torch.equal(model(example), expected(example))


def test_a_block_whose_tuple_holds_more_is_none() -> None:
    """What a layer gives back beside its first entry would be missing."""

    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleList([nn.LSTM(4, 4, batch_first=True), Two()])

        def forward(self, x: Tensor) -> Tensor:
            both: tuple[Tensor, Tensor] = self.layers[1](x)
            return both[0] + both[1]

    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(4, 4)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return self.fc(x), x

    assert find_blocks(Both(), torch.randn(2, 4)) == ()


def test_blocks_of_typical_networks() -> None:
    """Inverted residuals that keep the shape, and transformer layers of torch in a list."""
    assert find_blocks(*zoo()["mobile"]) == ("features.1", "features.3")
    encoder = nn.TransformerEncoder(
        nn.TransformerEncoderLayer(8, 2, 16, 0.0, batch_first=True), 2, enable_nested_tensor=False
    )
    example = torch.randn(1, 4, 8)
    assert find_blocks(encoder, example) == ("layers.0", "layers.1")
    expected = encoder.layers[0](example)
    drop_blocks(encoder, ["layers.1"], example)
    assert torch.equal(encoder(example), expected)
