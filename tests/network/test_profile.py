"""What a profile sees: work without layers, tied weights, odd modules, droppable blocks."""

from __future__ import annotations

import warnings

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autoreg.network.profile import profile
from autoreg.network.surgery.apply import find_blocks
from tests.network.nets import MLP, PlainCNN, ResNet, Transformer


def test_profiling_leaves_the_model_as_it_was() -> None:
    """Modes, weights, statistics and random state are untouched."""
    model = ResNet(1, (4, 6), 3, 1)
    model.bn.eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.get_rng_state()
    profile(model, torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(0)))
    assert torch.equal(state, torch.get_rng_state())
    assert model.training
    assert model.blocks[0].training
    assert not model.bn.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_attention_products_are_counted_where_they_happen() -> None:
    """Scores and mixing take T × T × width MACs each, a causal mask or not."""
    found = profile(Transformer(), torch.randint(0, 13, (2, 6)))
    assert {part.name: part.macs for part in found.functional} == {
        f"blocks.{i}.attention": 2 * 6 * 6 * 8 for i in range(2)
    }
    assert {part.block for part in found.functional} == {"blocks.0", "blocks.1"}
    assert found.warnings == ()


def test_multi_head_attention_module_is_counted_whole() -> None:
    """torch's own module: its output projection is a layer, its input projection and products are not."""
    length, width = 5, 8
    model = nn.TransformerEncoderLayer(width, 2, 16, batch_first=True)
    found = profile(model, torch.randn(2, length, width))
    assert found.layer("self_attn.out_proj").macs == length * width * width
    assert [(part.name, part.macs) for part in found.functional] == [
        ("self_attn", length * width * 3 * width + 2 * length * length * width)
    ]


def test_recurrent_layers_are_counted_by_formula() -> None:
    """Every weight matrix once per step."""

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(3, 4, batch_first=True)
            self.fc = nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.fc(self.lstm(x)[0][:, -1])
            return out

    found = profile(Net(), torch.randn(2, 7, 3))
    assert [(part.name, part.macs) for part in found.functional] == [("lstm", 7 * 4 * 4 * (3 + 4))]
    assert found.warnings == ()


@pytest.mark.parametrize(
    ("layer", "shape", "positions"),
    [
        (nn.Conv1d(4, 6, 3, stride=2, padding=1, groups=2), (1, 4, 8), 4),
        (nn.Conv3d(2, 3, 2), (1, 2, 3, 4, 5), 2 * 3 * 4),
        (nn.ConvTranspose2d(4, 6, 2, stride=2, groups=2), (1, 4, 3, 3), 9),
        (nn.Linear(5, 7), (1, 11, 5), 11),
    ],
)
def test_macs_of_every_kind_of_layer(layer: nn.Module, shape: tuple[int, ...], positions: int) -> None:
    """MACs are weights times positions, grouped and transposed too, as torch's own counter has it."""
    from torch.utils.flop_counter import FlopCounterMode

    found = profile(nn.Sequential(layer), torch.randn(shape)).layers[0]
    with FlopCounterMode(display=False) as counter:
        layer(torch.randn(shape))
    assert found.positions == positions
    assert 2 * found.macs == counter.get_total_flops()


def test_a_layer_used_twice_works_twice_and_is_stored_once() -> None:
    """The same module applied two times."""

    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.fc(torch.relu(self.fc(x)))
            return out

    found = profile(Twice(), torch.randn(1, 4))
    assert [(layer.name, layer.positions) for layer in found.layers] == [("fc", 2)]


def test_tied_weights_are_stored_once() -> None:
    """A head that shares the embedding: its weights count as weights, the embedding adds nothing."""
    found, plain = (profile(Transformer(tied), torch.randint(0, 13, (1, 6))) for tied in (True, False))
    assert "embed" in {part.name for part in plain.others}
    assert "embed" not in {part.name for part in found.others}


def test_what_cannot_be_counted_is_named_in_a_warning() -> None:
    """An operation without a formula and a layer that is never called."""

    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc, self.unused = nn.Linear(3, 3), nn.Linear(3, 3)
            self.inner = nn.Module()

        def forward(self, x: Tensor) -> Tensor:
            return torch.cdist(self.fc(x), torch.ones(2, 3))

    notes = r"layer 'unused' is never called .*; operation aten::_cdist_forward in 'model'"
    with pytest.warns(UserWarning, match=notes):
        found = profile(Odd(), torch.randn(2, 3))
    assert len(found.warnings) == 2


def test_blocks_of_a_residual_network() -> None:
    """Those that keep the shape; the first of a stage changes it."""
    found = profile(ResNet(2, (4, 6), 3, 1), torch.randn(1, 1, 8, 8))
    assert [block.name for block in found.blocks] == ["blocks.0", "blocks.1", "blocks.3"]
    assert found.blocks[0].layers == ("blocks.0.conv1", "blocks.0.conv2")
    assert found.blocks[0].macs == 2 * 4 * 4 * 9 * 64
    assert not any(block.joined or block.fixed for block in found.blocks)


def test_a_block_without_residual_joins_the_channels_around_it() -> None:
    """Dropping the middle of an MLP hands the first hidden features to the third layer."""
    found = profile(MLP(), torch.randn(2, 7))
    assert [(block.name, block.joined, block.fixed) for block in found.blocks] == [
        ("blocks.1", ("blocks.0.0", "blocks.1.0"), False),
        ("blocks.2", ("blocks.1.0", "blocks.2.0"), False),
    ]


def test_only_the_outermost_blocks_with_layers_inside_count() -> None:
    """Leaf modules, blocks without layers, blocks inside of blocks and whole stages are none."""

    def layer() -> nn.Sequential:
        return nn.Sequential(nn.Linear(4, 4), nn.ReLU())

    class Outer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Sequential(layer(), layer())

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = x + self.inner(x)
            return out

    class Pair(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(4, 4)

        def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
            out: Tensor = F.relu(self.fc(x))
            return out

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            stage = nn.Sequential(layer(), layer())
            self.body = nn.Sequential(nn.Linear(4, 4), nn.Sequential(nn.ReLU(), nn.Tanh()), Outer(), stage)
            self.pairs = nn.ModuleList([Pair(), Pair()])

        def forward(self, x: Tensor) -> Tensor:
            x = self.body(x)
            out: Tensor = self.pairs[1](self.pairs[0](x, x))
            return out

    assert find_blocks(Net(), torch.randn(1, 4)) == ("body.2", "body.3.0", "body.3.1", "pairs.0", "pairs.1")


def test_inputs_may_be_tuples_and_mappings() -> None:
    """Positional and keyword arguments give the same profile as a tensor."""
    model, x = PlainCNN(), torch.randn(2, 1, 8, 8)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert profile(model, x) == profile(model, (x,)) == profile(model, {"x": x})
