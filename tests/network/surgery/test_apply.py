"""Surgery for real: the small model is the masked one, and what cannot go is said with the reason."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autoreg.errors import InputError
from autoreg.network.shapes import ChannelGroup
from autoreg.network.surgery.apply import (
    apply_structure,
    channel_groups,
    drop_blocks,
    find_blocks,
    remove_channels,
)
from autoreg.network.surgery.cut import role
from tests.network.nets import MLP, Attention, PaddedResNet, PlainCNN, ResNet, Separable, Transformer, zoo

NAMES = ["plain", "residual", "separable", "dense", "mlp", "mobile", "densenet", "heads", "transformer", "tied"]


CONVOLUTIONAL = ["plain", "residual", "separable", "dense", "mlp", "mobile", "densenet"]


def kill(model: nn.Module, groups: tuple[ChannelGroup, ...], removed: dict[str, list[int]]) -> None:
    """Zero whatever makes the channels: rows of weights, biases, affine parameters of norms."""
    with torch.no_grad():
        for group in groups:
            for number, (name, axis) in enumerate(group.members):
                module = model.get_submodule(name)
                if role(module, axis) == "in":
                    continue
                for channel in removed.get(group.id, ()):
                    places = torch.tensor(list(group.positions(channel, number)))
                    module.get_parameter("weight").index_fill_(axis, places, 0.0)
                    if getattr(module, "bias", None) is not None:
                        module.get_parameter("bias")[places] = 0.0


@pytest.mark.parametrize("name", NAMES)
def test_small_model_equals_the_model_with_dead_channels(name: str) -> None:
    """A third of the channels of every removable group goes; outputs agree to 1e-5 in either mode."""
    model, example = zoo()[name]
    groups = channel_groups(model, example)
    generator = torch.Generator().manual_seed(1)
    removed = {
        group.id: sorted(torch.randperm(group.size, generator=generator)[: max(1, group.size // 3)].tolist())
        for group in groups
        if group.removable
    }
    assert removed
    masked, small = copy.deepcopy(model), copy.deepcopy(model)
    kill(masked, groups, removed)
    remove_channels(small, example, removed)
    assert sum(p.numel() for p in small.parameters()) < sum(p.numel() for p in model.parameters())
    assert not torch.allclose(masked.eval()(example), model.eval()(example), atol=1e-3)
    for mode in (False, True):
        assert torch.allclose(masked.train(mode)(example), small.train(mode)(example), atol=1e-5)


def silenced(model: nn.Module, groups: tuple[ChannelGroup, ...], removed: dict[str, list[int]]) -> nn.Module:
    """A copy in which every layer that consumes the channels is blind to them."""
    copied = copy.deepcopy(model)
    for group in groups:
        for number, (name, axis) in enumerate(group.members):
            module = copied.get_submodule(name)
            if role(module, axis) == "in":
                places = [place for channel in removed.get(group.id, ()) for place in group.positions(channel, number)]
                module.get_parameter("weight").detach().index_fill_(axis, torch.tensor(places, dtype=torch.int64), 0.0)
    return copied


def draw(groups: tuple[ChannelGroup, ...], seed: int) -> dict[str, list[int]]:
    """Half of the channels of every removable group, at random."""
    generator = torch.Generator().manual_seed(seed)
    return {
        group.id: sorted(torch.randperm(group.size, generator=generator)[: group.size // 2].tolist())
        for group in groups
        if group.removable
    }


def close(one: Tensor, other: Tensor) -> bool:
    """Whether outputs agree to 1e-5 of the largest."""
    return float((one - other).detach().abs().max()) <= 1e-5 * max(1.0, float(other.detach().abs().max()))


@pytest.mark.parametrize("name", NAMES)
def test_a_trained_small_model_equals_the_masked_one(name: str) -> None:
    """After some steps of training, when batch norms hold what they learned; before and after blocks are dropped."""
    model, example = zoo()[name]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    torch.manual_seed(3)
    for _ in range(8):
        batch = (
            torch.randint_like(example, 0, 13) if example.dtype == torch.int64 else torch.randn_like(example) * 2 + 1
        )
        optimizer.zero_grad()
        model(batch).square().mean().backward()
        optimizer.step()
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d)]
    assert all(norm.running_var is not None and norm.running_var.std() > 0 for norm in norms)
    blocks = find_blocks(model, example)
    for dropped in {(), blocks[:1], blocks[1::2]}:
        standing = copy.deepcopy(model.eval())
        drop_blocks(standing, dropped, example)
        groups = channel_groups(standing, example)
        removed = draw(groups, 5)
        small = copy.deepcopy(model)
        apply_structure(small, example, dropped, removed)
        assert sum(p.numel() for p in small.parameters()) < sum(p.numel() for p in standing.parameters())
        assert close(small(example), silenced(standing, groups, removed)(example))


def test_all_groups_of_convolutional_networks_can_go_but_the_output() -> None:
    """Plain, residual, depthwise-separable and densely connected."""
    for name in CONVOLUTIONAL:
        groups = channel_groups(*zoo()[name])
        last = "classifier.1" if name == "mobile" else "fc"
        assert [group.id for group in groups if not group.removable] == [last]
        assert "output" in groups[-1].reason


def test_a_residual_stream_is_one_group_named_after_its_first_layer() -> None:
    """Stem, second convolutions and shortcuts go together; the inside of each block stands alone."""
    groups = {group.id: group for group in channel_groups(*zoo()["residual"])}
    assert groups["conv"].produced == ("conv", "blocks.0.conv2", "blocks.1.conv2")
    assert groups["blocks.2.conv2"].produced == ("blocks.2.conv2", "blocks.2.shortcut.0", "blocks.3.conv2")
    assert groups["blocks.0.conv1"].members == (("blocks.0.conv1", 0), ("blocks.0.bn1", 0), ("blocks.0.conv2", 1))


def test_flattened_and_concatenated_channels_lie_where_the_spans_say() -> None:
    """16 positions a channel behind a 4 × 4 map; an offset behind a concatenation."""
    flat = next(group for group in channel_groups(*zoo()["plain"]) if group.id == "features.3.0")
    assert flat.spans[flat.members.index(("hidden", 1))] == (0, 16)
    two = next(group for group in channel_groups(*zoo()["dense"]) if group.id == "two")
    assert two.spans[two.members.index(("fc", 1))] == (9, 1)
    both = next(group for group in channel_groups(*zoo()["densenet"]) if group.id == "second.0.conv2")
    assert both.spans[both.members.index(("last", 0))] == (7, 1)
    assert both.spans[both.members.index(("fc", 1))] == (7 * 4, 4)


class Grouped(nn.Module):
    """A grouped convolution between two others."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Conv2d(1, 4, 1), nn.Conv2d(4, 6, 3, groups=2), nn.Conv2d(6, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.c(F.relu(self.b(F.relu(self.a(x)))))
        return out


class FromInput(nn.Module):
    """A residual around the first layer: its channels are added to the input."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(6, 6), nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.b(F.relu(x + self.a(x)))
        return out


class Softmaxed(nn.Module):
    """Channels that a softmax mixes."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(6, 8), nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.b(self.a(x).softmax(1))
        return out


class Averaged(nn.Module):
    """Channels whose mean goes on beside them, which the dependency graph does not see."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(6, 8), nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.a(x)
        out: Tensor = self.b(F.relu(x - x.mean(1, keepdim=True)))
        return out


class Normed(nn.Module):
    """Layer normalization between two linear layers."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.norm, self.b = nn.Linear(6, 8), nn.LayerNorm(8), nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.b(F.relu(self.norm(self.a(x))))
        return out


class Recurrent(nn.Module):
    """A recurrent layer behind a linear one."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.lstm, self.b = nn.Linear(6, 8), nn.LSTM(8, 5, batch_first=True), nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.b(self.lstm(self.a(x))[0][:, -1])
        return out


class Scaled(nn.Module):
    """A parameter of the model's own multiplies the channels."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(6, 8), nn.Linear(8, 2)
        self.scale = nn.Parameter(torch.ones(8))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.b(F.relu(self.a(x) * self.scale))
        return out


@pytest.mark.parametrize(
    ("model", "example", "group", "reason"),
    [
        (Recurrent(), torch.randn(2, 3, 6), "a", r"channels of 'lstm' \(LSTM\) cannot be removed"),
        (Scaled(), torch.randn(2, 6), "a", "the bare parameter 'scale' of the model"),
        (
            Transformer(),
            torch.randint(0, 13, (1, 5)),
            "blocks.0.attention.proj",
            r"'blocks.0.norm2' \(LayerNorm\) normal",
        ),
        (
            nn.TransformerEncoderLayer(8, 2, 16, batch_first=True),
            torch.randn(1, 4, 8),
            "self_attn.out_proj",
            "'self_attn' is an nn.MultiheadAttention, which ties its width to its heads",
        ),
        (PaddedResNet(), torch.randn(1, 1, 8, 8), "stem", "sliced, padded"),
        (Attention(8), torch.randn(1, 4, 8), "qkv", "attention heads"),
        (
            Grouped(),
            torch.randn(1, 1, 4, 4),
            "a",
            r"'b' is a grouped convolution \(2 groups\): its groups must stay equally",
        ),
        (FromInput(), torch.randn(2, 6), "a", "does not run without"),
        (Softmaxed(), torch.randn(2, 6), "a", "softmax"),
        (Averaged(), torch.randn(2, 6), "a", "something mixes"),
        (Normed(), torch.randn(2, 6), "a", r"'norm' \(LayerNorm\) normalizes"),
        (MLP(), torch.randn(2, 7), "fc", "the model's output"),
    ],
)
def test_groups_that_cannot_go_are_named_with_the_reason(
    model: nn.Module, example: Any, group: str, reason: str
) -> None:
    """Reported as not removable, and refused when asked for."""
    found = {one.id: one for one in channel_groups(model, example)}
    assert not found[group].removable
    with pytest.raises(InputError, match=f"group {group!r} cannot be removed: .*{reason}"):
        remove_channels(model, example, {group: [0]})


def test_what_stands_beside_an_impossible_group_can_still_go() -> None:
    """In a network with a padded shortcut the inner convolution of the block is removable."""
    found = {group.id: group.removable for group in channel_groups(PaddedResNet(), torch.randn(1, 1, 8, 8))}
    assert found["inner"]


@pytest.mark.parametrize(
    ("removed", "message"),
    [
        ({"nowhere": [0]}, "no channel group called 'nowhere'"),
        ({"hidden": [2, 1]}, "must be sorted and distinct"),
        ({"hidden": [11]}, "found index 11; allowed: 0 to 10"),
        ({"hidden": list(range(11))}, "at least one must stay"),
    ],
)
def test_wrong_indices_are_refused(removed: dict[str, list[int]], message: str) -> None:
    """And the model is left whole."""
    model, example = zoo()["plain"]
    before = sum(p.numel() for p in model.parameters())
    with pytest.raises(InputError, match=message):
        remove_channels(model, example, removed)
    assert sum(p.numel() for p in model.parameters()) == before


def test_a_record_is_replayed_on_a_fresh_model() -> None:
    """The state of a cut model loads into a fresh one after the same surgery, and computes the same."""
    model, example = zoo()["residual"]
    record: tuple[list[str], dict[str, list[int]]] = (["blocks.1"], {"conv": [0, 2], "blocks.0.conv1": [1]})
    apply_structure(model, example, *record)
    fresh = ResNet(2, (4, 6), 3, 1)
    apply_structure(fresh, example, *record)
    fresh.load_state_dict(model.state_dict())
    assert torch.equal(fresh.eval()(example), model.eval()(example))


def test_removing_in_two_steps_is_removing_at_once() -> None:
    """Indices of the second step count what the first left."""
    one, example = zoo()["separable"]
    two = copy.deepcopy(one)
    remove_channels(one, example, {"stem.0": [1, 4, 6]})
    remove_channels(two, example, {"stem.0": [4]})
    remove_channels(two, example, {"stem.0": [1, 5]})
    assert torch.equal(one.eval()(example), two.eval()(example))


def test_frozen_layers_are_cut_too_and_stay_frozen() -> None:
    """A parameter without gradient keeps its flag; the graph is found all the same."""
    model = PlainCNN().requires_grad_(False)
    model.fc.requires_grad_(True)
    remove_channels(model, torch.randn(1, 1, 8, 8), {"hidden": [0]})
    assert model.hidden.weight.shape == (10, 144)
    assert not model.hidden.weight.requires_grad
    assert model.fc.weight.requires_grad


def test_transposed_convolutions_are_cut_along_the_right_axes() -> None:
    """Stored as (in, out, ...): one channel less on either side."""
    model = Separable()
    remove_channels(model, torch.randn(1, 2, 6, 6), {"point2.0": [3], "up": [0, 1]})
    assert model.up.weight.shape == (9, 5, 2, 2)
    assert (model.up.in_channels, model.up.out_channels) == (9, 5)
